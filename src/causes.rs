//! The words of an error and its causes. TLS tells points in time as seconds
//! since 1970, which nobody can read.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// The maximum length of what somebody else says, in characters.
const PROBLEM_MAX: usize = 300;

/// The error and all its causes, each said once.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let mut said: Vec<String> = causes.map(in_words).collect();
    said.dedup();
    said.join(": ")
}

/// The error by itself.
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    let known = of_certificate(error).or_else(|| of_system(error));
    known.unwrap_or_else(|| error.to_string())
}

/// The system's words for a call that failed, without its number: `permission denied`.
fn of_system(error: &(dyn Error + 'static)) -> Option<String> {
    let error = error.downcast_ref::<io::Error>()?;
    let number = format!(" (os error {})", error.raw_os_error()?);
    let text = error.to_string();
    let words = text.strip_suffix(&number)?;
    let mut letters = words.chars();
    let first = letters.next()?.to_lowercase();
    Some(first.chain(letters).collect())
}

/// The words for a certificate whose time is over or has not come.
fn of_certificate(error: &(dyn Error + 'static)) -> Option<String> {
    let problem = match tls_error(error)? {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after, ..
        }) => format!("it expired at {}", timestamp(*not_after)?),
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        }) => format!("it is not valid before {}", timestamp(*not_before)?),
        _ => return None,
    };
    Some(format!("invalid peer certificate: {problem}"))
}

/// The error of TLS in this one, its causes left aside.
pub fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        // It says what it holds, and does not have it as its cause.
        Some(error) => error.get_ref()?.downcast_ref(),
        None => error.downcast_ref(),
    }
}

/// The text with control characters escaped: text from elsewhere may contain terminal
/// sequences.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// A problem of somebody else's in one short line.
pub fn short_line(problem: &str) -> String {
    one_line(&problem.chars().take(PROBLEM_MAX).collect::<String>())
}

/// None of a time that no calendar has.
fn timestamp(time: UnixTime) -> Option<String> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()))?;
    let mut text = String::new();
    let written = std::fmt::write(
        &mut text,
        format_args!("{}", humantime::format_rfc3339_seconds(time)),
    );
    written.ok().map(|()| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it did not work")]
    struct Outer(#[source] io::Error);

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn times_of_certificates_are_dates() {
        let now = at(1_790_812_800);
        let expired = CertificateError::ExpiredContext {
            time: now,
            not_after: at(1_577_836_800),
        };
        let expired = rustls::Error::InvalidCertificate(expired);
        let words = "invalid peer certificate: it expired at 2020-01-01T00:00:00Z";
        assert_eq!(in_words(&expired), words);
        let error = Outer(io::Error::new(io::ErrorKind::InvalidData, expired));
        assert_eq!(with_causes(&error), format!("it did not work: {words}"));
        let early = CertificateError::NotValidYetContext {
            time: now,
            not_before: at(4_102_444_800),
        };
        assert_eq!(
            in_words(&rustls::Error::InvalidCertificate(early)),
            "invalid peer certificate: it is not valid before 2100-01-01T00:00:00Z"
        );
        let never = CertificateError::ExpiredContext {
            time: now,
            not_after: at(u64::MAX),
        };
        let never = in_words(&rustls::Error::InvalidCertificate(never));
        assert!(never.contains("expired"), "{never}");
    }

    #[test]
    fn errors_of_the_system_are_words_in_a_sentence() {
        let denied = io::Error::from_raw_os_error(13);
        assert_eq!(in_words(&denied), "permission denied");
        let error = Outer(io::Error::from_raw_os_error(2));
        assert_eq!(
            with_causes(&error),
            "it did not work: no such file or directory"
        );
        assert_eq!(in_words(&io::Error::other("No 5")), "No 5");
    }

    #[test]
    fn every_cause_is_said_once() {
        let error = Outer(io::Error::other(Outer(io::Error::other("refused"))));
        assert_eq!(with_causes(&error), "it did not work: refused");
    }
}

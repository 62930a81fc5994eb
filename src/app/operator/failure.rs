//! Why nothing came of a call.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use super::target::Target;
use crate::causes::with_causes;
use crate::config::one_line;
use crate::proto::code_in_words;

/// Why nothing came of a call. Displays as one line for each culprit.
#[derive(Debug)]
pub(in crate::app) enum Failure {
    /// The command line, or a file that it names, is wrong.
    Input(String),
    /// Nobody answers at this address.
    Unreachable {
        /// Where the broker was looked for.
        address: String,
        /// What came of it, and what may be done.
        problem: String,
    },
    /// The broker took longer than this.
    TimedOut(Duration),
    /// The broker refuses.
    Refused(Box<Status>),
    /// There is no such thing as was asked for.
    NotFound(String),
    /// The broker has ended what it was telling.
    Ended,
    /// Whoever reads what we print has seen enough.
    NoReader,
    /// Something of this machine fails, such as the terminal.
    Local(io::Error),
}

impl Failure {
    /// The way to a broker cannot be opened.
    pub(super) fn unreachable(target: &Target, error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable {
            address: target.to_string(),
            problem: problem(target, error),
        }
    }

    /// What the broker says instead of an answer, or word from below gRPC that it
    /// says nothing. A call may take `timeout`.
    pub(super) fn status(target: &Target, status: Status, timeout: Duration) -> Self {
        let Some(source) = status.source() else {
            return match status.code() {
                Code::DeadlineExceeded => Self::TimedOut(timeout),
                _ => Self::Refused(Box::new(status)),
            };
        };
        if chain(source).any(<dyn Error>::is::<TimeoutExpired>) {
            return Self::TimedOut(timeout);
        }
        let mut problem = problem(target, source);
        // It ends the connection after the handshake, and why is often not heard.
        if matches!(target, Target::Tcp { tls: true, .. }) {
            problem += ": does the broker want a certificate of ours, with --tls-cert?";
        }
        Self::Unreachable {
            address: target.to_string(),
            problem,
        }
    }

    /// The end of what the broker was telling.
    pub(super) fn end(status: Status) -> Self {
        match status.source() {
            Some(_) => Self::Ended,
            None => Self::Refused(Box::new(status)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Local(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(problem) | Self::NotFound(problem) => formatter.write_str(problem),
            Self::Unreachable { address, problem } => write!(formatter, "{address}: {problem}"),
            Self::TimedOut(timeout) => {
                let timeout = humantime::format_duration(*timeout);
                write!(formatter, "the broker does not answer within {timeout}")
            }
            Self::Refused(status) => formatter.write_str(&refusal(status).join("\n")),
            Self::Ended => formatter.write_str("the broker has ended, or the connection to it"),
            Self::NoReader => formatter.write_str("nobody reads what is printed"),
            Self::Local(error) => error.fmt(formatter),
        }
    }
}

/// Each wrong field or part; where none is named, what the broker says.
fn refusal(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let fields = details.bad_request().into_iter();
    let fields = fields.flat_map(|bad| &bad.field_violations);
    let fields = fields.map(|wrong| (&wrong.field, &wrong.description));
    let parts = details.precondition_failure().into_iter();
    let parts = parts.flat_map(|failure| &failure.violations);
    let parts = parts.map(|wrong| (&wrong.subject, &wrong.description));
    let mut lines: Vec<String> = fields
        .chain(parts)
        .map(|(culprit, problem)| one_line(&format!("{culprit}: {problem}")))
        .collect();
    if lines.is_empty() {
        let code = match status.code() {
            Code::PermissionDenied => "not allowed",
            Code::Unauthenticated => "the broker does not know who calls",
            code => code_in_words(code),
        };
        lines.push(one_line(&format!("{code}: {}", status.message())));
    }
    lines
}

/// What has happened, and what to do about it.
fn problem(target: &Target, error: &(dyn Error + 'static)) -> String {
    let kind = io_error(error).map(io::Error::kind);
    let advice = match (target, kind) {
        (Target::Unix(_), Some(ErrorKind::NotFound)) => {
            "there is no such socket: is the broker running, and is this its admin.listen?"
        }
        (_, Some(ErrorKind::PermissionDenied)) => {
            "permission denied: whoever may write to the socket may call, its owner and its group"
        }
        (_, Some(ErrorKind::ConnectionRefused)) => {
            "nobody listens there: is the broker running, and is this its admin.listen?"
        }
        _ => return one_line(&with_causes(error)),
    };
    advice.to_owned()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let io_errors = chain(error).filter_map(|error| error.downcast_ref::<io::Error>());
    io_errors.last()
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it did not work")]
    struct Outer(#[source] io::Error);

    fn refused(details: ErrorDetails) -> String {
        let status = Status::with_error_details(Code::InvalidArgument, "all at once", details);
        Failure::Refused(Box::new(status)).to_string()
    }

    #[test]
    fn every_culprit_has_a_line() {
        let fields = vec![
            FieldViolation::new("bridges[0].relay_url", "is no URL"),
            FieldViolation::new("bridges[1].fingerprint", "is there\ntwice"),
        ];
        assert_eq!(
            refused(ErrorDetails::with_bad_request(fields)),
            "bridges[0].relay_url: is no URL\nbridges[1].fingerprint: is there\\ntwice"
        );
        let parts = vec![PreconditionViolation::new("RELOAD", "bridges", "line 2")];
        let details = ErrorDetails::with_precondition_failure(parts);
        assert_eq!(refused(details), "bridges: line 2");
        let plain = refused(ErrorDetails::new());
        assert!(plain.ends_with(": all at once"), "{plain}");
    }

    #[test]
    fn the_innermost_io_error_says_what_to_do() {
        let target = Target::Unix("/a".into());
        let advice = |kind| {
            let error = Outer(io::Error::from(kind));
            Failure::unreachable(&target, &error).to_string()
        };
        assert!(advice(ErrorKind::NotFound).contains("unix:/a: there is no such socket"));
        assert!(advice(ErrorKind::PermissionDenied).contains("group"));
        assert!(advice(ErrorKind::ConnectionRefused).contains("is the broker running"));
        assert!(advice(ErrorKind::UnexpectedEof).contains("unexpected end of file"));
    }
}

//! Problems with peers, in words for the log and the operator. They may contain text from
//! a peer, so each is one short line without addresses.

use std::error::Error;
use std::io::{self, ErrorKind};

use tonic::Status;

use crate::causes::{in_words, tls_error};
use crate::peers::PeerProblem;
use crate::proto::code_in_words;
use crate::telemetry::scrub;

/// The maximum length of a problem's text, in characters.
const LENGTH_MAX: usize = 300;

/// A reason why a connection to a peer failed or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The peer cannot be reached, or does not prove its identity.
    #[error("cannot connect: {0}")]
    Dial(#[source] io::Error),
    /// Connecting takes too long.
    #[error("cannot connect in time")]
    TooSlow,
    /// Another broker answers there.
    #[error("its certificate has other names: {}", .0.join(", "))]
    OtherNames(Vec<String>),
    /// The broker is not one to borrow from, or is already connected.
    #[error("it is connected already, or no connection is wanted")]
    NotWanted,
    /// The connection does not work for gRPC.
    #[error("it does not speak gRPC")]
    Transport(#[from] tonic::transport::Error),
    /// The peer does not report its supply.
    #[error("it does not say what it can lend")]
    Watch(#[from] Status),
    /// The peer has been silent for so long that its last report no longer counts.
    #[error("it went silent")]
    Silent,
    /// The peer ended the stream of its reports.
    #[error("it ended the connection")]
    Ended,
}

impl LinkError {
    /// Returns true if there is no broker to borrow from: discovery finds such addresses,
    /// too.
    pub(super) fn is_of_nobody(&self) -> bool {
        matches!(self, Self::OtherNames(_) | Self::NotWanted)
    }

    /// The problem in words.
    pub(super) fn problem(&self) -> PeerProblem {
        let is_vague = match self {
            Self::Ended => true,
            Self::Dial(error) => is_hang_up(error) && !is_explained(error),
            Self::Transport(error) => !is_explained(error),
            Self::Watch(status) => is_from_below(status),
            Self::TooSlow | Self::OtherNames(_) | Self::NotWanted | Self::Silent => false,
        };
        PeerProblem {
            words: describe(self),
            is_vague,
        }
    }
}

/// The problem of a failed call.
pub(super) fn of_call(status: &Status) -> PeerProblem {
    PeerProblem {
        words: describe(status),
        is_vague: is_from_below(status),
    }
}

/// Returns true if a status does not come from the peer but reports a broken connection.
fn is_from_below(status: &Status) -> bool {
    status.source().is_some_and(|error| !is_explained(error))
}

/// Returns true if TLS explains the error: by the peer's alert, or a certificate. For an
/// alert after the handshake, HTTP/2 keeps only the text.
fn is_explained(error: &(dyn Error + 'static)) -> bool {
    const ALERT: &str = "received fatal alert";
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| tls_error(cause).is_some() || cause.to_string().contains(ALERT))
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}

/// An error with all its causes.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let said = match error.downcast_ref::<Status>() {
            Some(status) if status.message().is_empty() => code_in_words(status.code()).to_owned(),
            Some(status) => format!("{}: {}", code_in_words(status.code()), status.message()),
            None => in_words(error),
        };
        if !text.contains(&said) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = text + separator + &said;
        }
        cause = error.source();
    }
    plain(&text)
}

fn plain(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LENGTH_MAX)
        .collect();
    scrub(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_one_short_line_without_addresses() {
        let said = format!("no\nway, 192.0.2.7!{}", "x".repeat(1000));
        let problem = LinkError::from(Status::permission_denied(said));
        let text = describe(&problem);
        let expected =
            "it does not say what it can lend: permission denied: no way, [scrubbed]!xxx";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.chars().count() <= LENGTH_MAX + 10, "{text}");
    }

    #[test]
    fn only_a_connection_that_ends_without_a_word_is_vague() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let alert = || io::Error::new(ErrorKind::InvalidData, alert.clone());
        let from_below = |error: io::Error| Status::from_error(Box::new(error));
        for (problem, is_vague) in [
            (LinkError::Ended, true),
            (LinkError::Dial(ErrorKind::UnexpectedEof.into()), true),
            (LinkError::Dial(ErrorKind::ConnectionRefused.into()), false),
            (LinkError::Dial(alert()), false),
            (
                LinkError::Watch(from_below(ErrorKind::BrokenPipe.into())),
                true,
            ),
            (LinkError::Watch(from_below(alert())), false),
            (
                LinkError::Watch(from_below(io::Error::other(alert().to_string()))),
                false,
            ),
            (
                LinkError::Watch(Status::permission_denied("no peer")),
                false,
            ),
            (LinkError::TooSlow, false),
        ] {
            assert_eq!(problem.problem().is_vague, is_vague, "{problem:?}");
        }
    }

    #[test]
    fn causes_are_told_once() {
        let error = LinkError::Dial(io::Error::other("refused"));
        assert_eq!(describe(&error), "cannot connect: refused");
    }
}

//! What goes wrong with peers, in words for the log and the operator. Parts of it
//! are what a peer says, so it is one short line without addresses.

use std::error::Error;
use std::io;

use tonic::Status;

use crate::causes::in_words;
use crate::proto::code_in_words;
use crate::telemetry::scrub;

/// No problem takes more words, in characters.
const LENGTH_MAX: usize = 300;

/// Why there is no connection to a peer, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkProblem {
    /// It cannot be reached, or does not prove who it is.
    #[error("cannot connect: {0}")]
    Dial(#[source] io::Error),
    /// It takes too long to connect.
    #[error("cannot connect in time")]
    TooSlow,
    /// Somebody else is there.
    #[error("the certificate there has other names: {}", .0.join(", "))]
    OtherNames(Vec<String>),
    /// It is no broker that may be asked, or there is a connection already.
    #[error("there is a connection already, or none is wanted")]
    NotWanted,
    /// The connection does not do for gRPC.
    #[error("no gRPC")]
    Transport(#[from] tonic::transport::Error),
    /// It does not say what it has.
    #[error("it does not say what it can lend")]
    Watch(#[from] Status),
    /// It has said nothing for so long that its word counts for nothing.
    #[error("it has gone silent")]
    Silent,
    /// It has ended the stream of its reports.
    #[error("it has ended the connection")]
    Ended,
}

impl LinkProblem {
    /// Whether there is nobody to ask: of those that are discovered some are.
    pub(super) fn is_of_nobody(&self) -> bool {
        matches!(self, Self::OtherNames(_) | Self::NotWanted)
    }
}

/// An error with all its causes.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
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
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let line: String = line.take(LENGTH_MAX).collect();
    scrub(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_one_short_line_without_addresses() {
        let said = format!("no\nway, 192.0.2.7!{}", "x".repeat(1000));
        let problem = LinkProblem::from(Status::permission_denied(said));
        let text = describe(&problem);
        let expected =
            "it does not say what it can lend: permission denied: no way, [scrubbed]!xxx";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.chars().count() <= LENGTH_MAX + 10, "{text}");
    }

    #[test]
    fn causes_are_told_once() {
        let error = LinkProblem::Dial(io::Error::other("refused"));
        assert_eq!(describe(&error), "cannot connect: refused");
    }
}

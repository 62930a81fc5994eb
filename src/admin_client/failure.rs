//! Failed calls.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::causes::one_line;
use crate::proto::code_in_words;

/// A failed call. Displayed as one line for each cause.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, or a file named there, is invalid.
    Input(String),
    /// The broker cannot be reached.
    Unreachable {
        /// The address that was tried.
        address: String,
        /// The problem, with advice.
        problem: String,
    },
    /// The broker did not respond within this time.
    TimedOut(Duration),
    /// The broker refused the call.
    Refused(Box<Status>),
    /// The requested item does not exist.
    NotFound(String),
    /// The broker ended the stream.
    Ended,
    /// The reader of our output has closed it.
    NoReader,
    /// Something on this machine failed, such as the terminal.
    Local(io::Error),
}

impl Failure {
    /// The end of a stream of responses.
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
                write!(formatter, "the broker did not answer within {timeout}")
            }
            Self::Refused(status) => formatter.write_str(&refusal(status).join("\n")),
            Self::Ended => formatter.write_str("the broker stopped, or the connection to it broke"),
            Self::NoReader => formatter.write_str("stdout is closed"),
            Self::Local(error) => error.fmt(formatter),
        }
    }
}

/// Each invalid field or part; if none is named, the broker's message.
fn refusal(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let fields = details
        .bad_request()
        .into_iter()
        .flat_map(|bad| &bad.field_violations)
        .map(|wrong| (&wrong.field, &wrong.description));
    let parts = details
        .precondition_failure()
        .into_iter()
        .flat_map(|failure| &failure.violations)
        .map(|wrong| (&wrong.subject, &wrong.description));
    let mut lines: Vec<String> = fields
        .chain(parts)
        .map(|(culprit, problem)| one_line(&format!("{culprit}: {problem}")))
        .collect();
    if lines.is_empty() {
        let code = match status.code() {
            Code::PermissionDenied => "not allowed",
            Code::Unauthenticated => "not authenticated",
            code => code_in_words(code),
        };
        lines.push(one_line(&format!("{code}: {}", status.message())));
    }
    lines
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation};

    use super::*;

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
}

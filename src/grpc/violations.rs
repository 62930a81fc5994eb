//! Errors that name the invalid fields of a request (google.rpc.BadRequest).

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::report::SettingsReport;

/// The maximum number of named fields: errors travel in a response's head, which is
/// small.
const NAMED_MAX: usize = 20;

/// The invalid fields of a request.
#[derive(Debug, Default)]
pub(super) struct Violations {
    named: Vec<FieldViolation>,
    unnamed: usize,
}

impl Violations {
    /// Adds the field at `path`, such as `bridges[2].relay_url`.
    pub(super) fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        if self.named.len() < NAMED_MAX {
            self.named.push(FieldViolation::new(path, problem));
        } else {
            self.unnamed += 1;
        }
    }

    /// The error, if any field is invalid.
    pub(super) fn into_result(self) -> Result<(), Status> {
        if self.named.is_empty() {
            return Ok(());
        }
        let lines = self
            .named
            .iter()
            .map(|wrong| format!("{}: {}", wrong.field, wrong.description));
        let mut message = lines.collect::<Vec<_>>().join("; ");
        if self.unnamed > 0 {
            let _ = write!(message, "; and {} more", self.unnamed);
        }
        let details = ErrorDetails::with_bad_request(self.named);
        Err(Status::with_error_details(
            Code::InvalidArgument,
            message,
            details,
        ))
    }
}

/// The error for a request with one invalid field.
pub(super) fn invalid(path: &str, problem: impl Into<String>) -> Status {
    let problem = problem.into();
    let details = ErrorDetails::with_bad_request_violation(path, problem.clone());
    Status::with_error_details(Code::InvalidArgument, format!("{path}: {problem}"), details)
}

/// The duration in a field of a request, if it is within its bounds.
pub(super) fn span_within(
    path: &str,
    asked: prost_types::Duration,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, Status> {
    let span = read_span(asked).map_err(|problem| invalid(path, problem))?;
    let mut report = SettingsReport::default();
    report.within(path, span, bounds);
    match report.errors.first() {
        Some(issue) => Err(invalid(path, issue.to_string())),
        None => Ok(span),
    }
}

/// A duration that is not negative.
pub(super) fn read_span(asked: prost_types::Duration) -> Result<Duration, String> {
    Duration::try_from(asked).map_err(|_| "must not be negative".to_owned())
}

//! Counting of failed calls, and a rate-limited log of them.

use std::time::Duration;

use tracing::Level;

use crate::broker::clock;
use crate::metrics::Metrics;
use crate::metrics::labels::QueueCall;
use crate::telemetry::{Kind, LogLimit};

use super::{CallError, Cause};

const PERIOD: Duration = Duration::from_mins(1);

/// The log of failed calls, with a rate limit for each kind of call.
#[derive(Debug)]
pub(super) struct FailureLog {
    /// The name of the queue with its profile.
    name: String,
    limits: [LogLimit; QueueCall::ALL.len()],
}

impl FailureLog {
    pub(super) fn of(name: String) -> Self {
        let limits = QueueCall::ALL.map(|call| {
            let gist = format!("sqs: {name}: failed calls of {call}").into();
            let level = Level::WARN;
            LogLimit::new(Kind { level, gist }, 1, PERIOD)
        });
        Self { name, limits }
    }

    /// Counts a failure, and logs it unless the same kind of call failed in the last
    /// minute.
    pub(super) fn report(&self, error: &CallError, metrics: &Metrics) {
        metrics.queue_call_failed(error.call);
        let limit = &self.limits[error.call as usize];
        if let Some(suppressed) = limit.admit(clock::now()) {
            let (name, way_out) = (&self.name, way_out(error));
            tracing::warn!(suppressed, "sqs: {name}: {error}{way_out}");
        }
    }

    /// Logs that messages arrive again after failures.
    pub(super) fn over(&self) {
        tracing::info!("sqs: {}: working again", self.name);
    }
}

/// A hint for the operator, if there is one.
fn way_out(error: &CallError) -> String {
    match &error.cause {
        Cause::NotPermitted(_) => {
            format!("; does the profile's policy allow sqs:{}?", error.call)
        }
        Cause::NoCredentials(_) => "; it is tried again".to_owned(),
        _ => String::new(),
    }
}

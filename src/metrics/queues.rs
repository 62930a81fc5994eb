//! Rendezvous through queues as it is counted, besides the polls themselves.

use std::time::Duration;

use super::Metrics;
use super::families::FailedCall;
use super::labels::QueueCall;

impl Metrics {
    /// A message was taken from a queue, so long after it was sent.
    pub fn queue_message_received(&self, age: Duration) {
        self.families.queue_message_age.observe(age.as_secs_f64());
    }

    /// A call of SQS has failed.
    pub fn queue_call_failed(&self, call: QueueCall) {
        let failures = &self.families.queue_call_failures;
        failures.get_or_create(&FailedCall { call }).inc();
    }

    /// A reply queue that nobody used any more was deleted.
    pub fn reply_queue_swept(&self) {
        self.families.reply_queues_swept.inc();
    }
}

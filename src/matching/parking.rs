//! The steps of polls into their pools and out of them.

use super::Matcher;
use super::deadlines::Timer;
use super::outputs::{NoMatch, PollReply};
use super::requests::PollKey;

impl Matcher {
    pub(super) fn park(&mut self, key: PollKey) {
        let Some(poll) = self.sessions.poll(key) else {
            return;
        };
        if let Some(source) = poll.source {
            self.sources.parked(source.key);
        }
        self.pools.insert(&mut self.sources, key, poll);
        let timer = Timer::Poll(poll.arrival, key);
        self.deadlines.insert(poll.deadline, timer);
    }

    pub(super) fn unpark(&mut self, key: PollKey) {
        let Some(poll) = self.sessions.poll(key) else {
            return;
        };
        self.pools.remove(&mut self.sources, poll);
        if let Some(source) = poll.source {
            self.sources.unparked(source.key);
        }
        let timer = Timer::Poll(poll.arrival, key);
        self.deadlines.remove(poll.deadline, timer);
    }

    pub(super) fn end_poll(&mut self, key: PollKey, reason: NoMatch) {
        self.remove_poll(key);
        self.outputs.poll(key, PollReply::NoMatch(reason));
    }

    /// Removes a poll that has no offer.
    pub(super) fn remove_poll(&mut self, key: PollKey) {
        let poll = self.sessions.remove_poll(key);
        if let Some(source) = poll.and_then(|poll| poll.source) {
            self.sources.leave(source.key);
        }
    }
}

//! The stages of the engine's end: lame duck, drain, and back to service.

use std::time::Instant;

use super::Matcher;
use super::outputs::{Denied, NoMatch};
use super::requests::ServiceStage;
use super::sessions::ClientOrigin;

impl Matcher {
    /// Stops parking polls until [`Self::start_draining`] or [`Self::resume`].
    pub fn start_lame_duck(&mut self) {
        if self.stage == ServiceStage::Serving {
            self.stage = ServiceStage::LameDuck;
        }
    }

    /// Stops matching. Parked polls and queued clients are let go, and only answers that
    /// are still due are accepted.
    pub fn start_draining(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.stage = ServiceStage::Draining;
        for key in self.sessions.parked() {
            self.unpark(key);
            self.end_poll(key, NoMatch::Evicted);
        }
        for key in self.waiting.queued() {
            self.deny(key, Denied::Draining);
        }
    }

    /// Returns to normal service. Polls and clients already let go stay gone.
    pub fn resume(&mut self) {
        self.stage = ServiceStage::Serving;
    }

    /// The current stage.
    pub fn stage(&self) -> ServiceStage {
        self.stage
    }

    /// Returns true if clients of this origin are matched. A lame duck keeps its proxies
    /// for our own clients.
    pub(super) fn serves(&self, origin: ClientOrigin) -> bool {
        match self.stage {
            ServiceStage::Serving => true,
            ServiceStage::LameDuck => origin.is_ours(),
            ServiceStage::Draining => false,
        }
    }
}

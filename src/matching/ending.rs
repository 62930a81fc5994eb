//! The end of the engine: lame duck, drain, and back.

use std::time::Instant;

use super::Matcher;
use super::outputs::{Denied, NoMatch};
use super::requests::ServiceStage;
use super::sessions::ClientOrigin;

impl Matcher {
    /// From now on no poll is parked. It goes on until [`Self::start_draining`].
    pub fn start_lame_duck(&mut self) {
        if self.stage == ServiceStage::Serving {
            self.stage = ServiceStage::LameDuck;
        }
    }

    /// From now on nobody new is matched: what is parked or queued is let go,
    /// and only answers that are still due are taken.
    pub fn start_draining(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.stage = ServiceStage::Draining;
        for key in self.pools.keys() {
            self.unpark(key);
            self.end_poll(key, NoMatch::Evicted);
        }
        for key in self.queued.keys() {
            self.deny(key, Denied::Draining);
        }
    }

    /// Serves as before the lame duck and the drain; who has left is gone.
    pub fn resume(&mut self) {
        self.stage = ServiceStage::Serving;
    }

    /// The stage that it is in.
    pub fn stage(&self) -> ServiceStage {
        self.stage
    }

    /// Returns true if such clients are matched: a lame duck's proxies are for those who
    /// asked us.
    pub(super) fn serves(&self, origin: ClientOrigin) -> bool {
        match self.stage {
            ServiceStage::Serving => true,
            ServiceStage::LameDuck => origin.is_ours(),
            ServiceStage::Draining => false,
        }
    }
}

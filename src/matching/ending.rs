//! How the engine ends, and goes on if it is told to.

use std::time::Instant;

use super::Matcher;
use super::outputs::{Denied, NoMatch};
use super::sessions::Standing;

/// How far the engine is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Polls are parked and clients matched.
    #[default]
    Serving,
    /// No poll is parked; clients are matched.
    LameDuck,
    /// Nobody new is matched.
    Draining,
}

impl Matcher {
    /// From now on no poll is parked. It goes on until [`Self::start_draining`].
    pub fn start_lame_duck(&mut self) {
        if self.stage == Stage::Serving {
            self.stage = Stage::LameDuck;
        }
    }

    /// From now on nobody new is matched: what is parked or queued is let go,
    /// and only answers that are still due are taken.
    pub fn start_draining(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.stage = Stage::Draining;
        for key in self.pools.keys() {
            self.unpark(key);
            self.end_poll(key, NoMatch::Draining);
        }
        for key in self.queued.keys() {
            self.deny(key, Denied::Draining);
        }
    }

    /// Serves as before the lame duck and the drain; who has left is gone.
    pub fn resume(&mut self) {
        self.stage = Stage::Serving;
    }

    /// Whether polls are parked and clients matched.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether such clients are matched: a lame duck's proxies are for those who
    /// asked us.
    pub(super) fn serves(&self, standing: Standing) -> bool {
        match self.stage {
            Stage::Serving => true,
            Stage::LameDuck => standing.is_ours(),
            Stage::Draining => false,
        }
    }
}

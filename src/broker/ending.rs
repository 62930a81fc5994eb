//! How a broker ends: first as a lame duck, then draining.

use std::time::{Duration, Instant};

use crate::matching::Matcher;

use super::Broker;

/// The least time after which a proxy comes back that polled a broker which is
/// about to stop.
const COMES_BACK_AFTER: Duration = Duration::from_secs(1);
/// Over how long after that proxies are spread that were not parked.
const SPREAD: Duration = Duration::from_secs(2);

/// When a proxy that was not parked is to poll the successor, by a chance from 0
/// to 1: it waits there instead of here.
pub(super) fn soon(chance: f64) -> Duration {
    COMES_BACK_AFTER + SPREAD.mul_f64(chance)
}

/// When a proxy that was parked is to poll the successor. Were all of them to
/// come soon, they would all be away again at the same time.
pub(super) fn by_and_by(usual: Duration, chance: f64) -> Duration {
    let spread = usual.saturating_sub(COMES_BACK_AFTER).max(SPREAD);
    COMES_BACK_AFTER + spread.mul_f64(chance)
}

impl Broker {
    /// From now on proxies that hear from a lame duck, or from one that drains,
    /// are told to come back soon: another broker is about to stand here.
    /// Otherwise they come back when they usually do.
    pub fn expect_successor(&self) {
        self.lock().has_successor = true;
    }

    /// Returns true if another broker is about to stand here.
    pub fn expects_successor(&self) -> bool {
        self.lock().has_successor
    }

    /// From now on no poll is parked. Clients are served from the polls that are
    /// parked already, or that come.
    pub fn start_lame_duck(&self) {
        self.change_stage(|matcher, _| matcher.start_lame_duck());
    }

    /// Matches again after a lame duck or a drain.
    pub fn resume(&self) {
        self.change_stage(|matcher, _| matcher.resume());
    }

    /// Lets go whatever waits for a match and matches nobody new.
    pub fn start_draining(&self) {
        self.change_stage(Matcher::start_draining);
    }

    /// The same; returns when the last client that is matched already has its
    /// reply.
    pub async fn drain(&self) {
        self.start_draining();
        loop {
            let stepped = self.stepped.notified();
            if self.snapshot().matched_clients == 0 {
                return;
            }
            stepped.await;
        }
    }

    fn change_stage(&self, change: impl FnOnce(&mut Matcher, Instant)) {
        self.step(|state, now| {
            change(&mut state.matcher, now);
            // Under the lock, so that the last change is told last.
            self.stage.send_replace(state.matcher.stage());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_parked_comes_back_within_three_seconds() {
        let millis = |chance| soon(chance).as_millis();
        assert_eq!([0.0, 0.5, 1.0].map(millis), [1000, 2000, 3000]);
    }

    #[test]
    fn who_was_parked_comes_back_within_the_usual_interval() {
        let seconds = |usual, chance| by_and_by(Duration::from_secs(usual), chance).as_secs();
        assert_eq!(
            [0.0, 0.5, 1.0].map(|chance| seconds(21, chance)),
            [1, 11, 21]
        );
        assert_eq!([0.0, 0.5, 1.0].map(|chance| seconds(1, chance)), [1, 2, 3]);
    }
}

//! How a broker ends: first as a lame duck, then draining.

use std::time::Duration;

use super::Broker;

/// How soon a proxy comes back that polled a broker which is about to stop; its
/// successor needs proxies at once.
const COMES_BACK_AFTER: Duration = Duration::from_secs(1);
/// Over how long after that proxies are spread.
const SPREAD: Duration = Duration::from_secs(2);

/// When a proxy is to poll the successor, by a chance from 0 to 1.
pub(super) fn next_poll(chance: f64) -> Duration {
    COMES_BACK_AFTER + SPREAD.mul_f64(chance)
}

impl Broker {
    /// From now on no poll is parked, and proxies are told to come back soon.
    /// Clients are served from the polls that are parked already, or that come.
    pub fn start_lame_duck(&self) {
        self.step(|state, _| state.matcher.start_lame_duck());
    }

    /// Lets go whatever waits for a match and matches nobody new; returns when
    /// the last client that is matched already has its reply.
    pub async fn drain(&self) {
        self.step(|state, now| state.matcher.start_draining(now));
        loop {
            let stepped = self.stepped.notified();
            if self.snapshot().matched_clients == 0 {
                return;
            }
            stepped.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_come_back_spread_over_two_seconds() {
        let millis = |chance| next_poll(chance).as_millis();
        assert_eq!([0.0, 0.5, 1.0].map(millis), [1000, 2000, 3000]);
    }
}

//! How a broker ends: first as a lame duck, then draining.

use std::time::Duration;

use crate::wire::proxy::Sid;

use super::Broker;

/// How soon a proxy comes back that polled a broker which is about to stop; its
/// successor needs proxies at once.
const COMES_BACK_AFTER: Duration = Duration::from_secs(1);
/// Over how long after that proxies are spread.
const SPREAD: Duration = Duration::from_secs(2);

/// When a proxy is to poll the successor. The draw is its `Sid`, which is
/// random.
pub(super) fn next_poll(sid: &Sid) -> Duration {
    COMES_BACK_AFTER + SPREAD * sid.lot() / u32::MAX
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
        let spans: Vec<Duration> = (0..1000)
            .map(|number| next_poll(&Sid::new(&number.to_string()).unwrap()))
            .collect();
        let millis = |from, to| {
            let span = Duration::from_millis(from)..=Duration::from_millis(to);
            spans.iter().filter(|at| span.contains(*at)).count()
        };
        assert_eq!(millis(1000, 3000), 1000);
        for quarter in [1000, 1500, 2000, 2500] {
            let share = millis(quarter, quarter + 500);
            assert!((200..300).contains(&share), "{quarter} ms: {share}");
        }
    }
}

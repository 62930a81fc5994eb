//! The episode of a client: its requests until it is served or gives up.

use std::time::{Duration, Instant};

use crate::metrics::EpisodeCounts;
use crate::metrics::labels::EpisodeResult;

/// The time from a client's last request or reply until the next request that belongs to
/// another episode. A client whose match failed is back after 40 s at most.
const GAP: Duration = Duration::from_mins(1);
/// The time from a client's first request in which it should have its answer.
const SERVED_WITHIN: Duration = Duration::from_mins(2);

/// The requests of one client, each less than [`GAP`] after the reply before.
///
/// An episode has one result, which is counted as soon as it is known: at the client's
/// first request after [`SERVED_WITHIN`], or else once the client is silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Episode {
    began: Instant,
    /// The last request or reply.
    heard: Instant,
    tries: u32,
    /// True if the result is counted.
    is_decided: bool,
}

impl Episode {
    /// The episode that begins with this request.
    pub(super) fn begin(now: Instant, counts: &mut EpisodeCounts) -> Self {
        counts.begin();
        Self {
            began: now,
            heard: now,
            tries: 1,
            is_decided: false,
        }
    }

    /// Adds a request, which may begin the client's next episode. `was_answered` is true if
    /// the one before was answered, and `is_crowd` if several clients look like this one.
    pub(super) fn request(
        &mut self,
        now: Instant,
        was_answered: bool,
        is_crowd: bool,
        counts: &mut EpisodeCounts,
    ) {
        if now.saturating_duration_since(self.heard) >= GAP {
            // A client that was connected for a minute or two may have lost its proxy.
            self.decide(silent_after(was_answered), counts);
            *self = Self::begin(now, counts);
        } else {
            self.heard = now;
            self.tries = self.tries.saturating_add(1);
        }
        if is_crowd {
            self.decide(EpisodeResult::Unknown, counts);
        } else if now.saturating_duration_since(self.began) > SERVED_WITHIN {
            self.decide(EpisodeResult::Unserved, counts);
        }
    }

    /// Notes a reply to the client.
    pub(super) fn reply(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Notes that the client cannot be told from others.
    pub(super) fn lose(&mut self, counts: &mut EpisodeCounts) {
        self.decide(EpisodeResult::Unknown, counts);
    }

    /// Ends the episode of a client that is not back, with the time of its answer if that
    /// match has worked.
    pub(super) fn end(mut self, answered: Option<Instant>, counts: &mut EpisodeCounts) {
        let after = answered.map(|answered| answered.saturating_duration_since(self.began));
        if let Some(after) = after {
            counts.serve(self.tries, after);
        }
        let is_in_time = after.is_some_and(|after| after <= SERVED_WITHIN);
        let result = if is_in_time {
            EpisodeResult::Served
        } else {
            EpisodeResult::Unserved
        };
        self.decide(result, counts);
    }

    fn decide(&mut self, result: EpisodeResult, counts: &mut EpisodeCounts) {
        if !self.is_decided {
            self.is_decided = true;
            counts.decide(result);
        }
    }
}

/// The result of an episode after which the client was silent for a while, and came again.
fn silent_after(was_answered: bool) -> EpisodeResult {
    if was_answered {
        EpisodeResult::Unknown
    } else {
        EpisodeResult::Unserved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;
    use crate::geoip::CountryCode;
    use crate::metrics::labels::Rendezvous;
    use crate::outcomes::{Demand, OutcomeClient, Outcomes, Settings};
    use crate::wire::nat::NatClass;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// The client of this number with its offer of this number.
    fn client(id: u64, offer: u64) -> OutcomeClient {
        OutcomeClient {
            id: Some(id),
            earlier_id: None,
            address: None,
            offer: id * 1_000 + offer,
            voter: None,
            country: CountryCode::UNKNOWN,
            class: NatClass::Strict,
            rendezvous: Rendezvous::Http,
        }
    }

    /// The results of episodes: served, unserved, unknown, and those that began.
    fn episodes(counts: &EpisodeCounts) -> [u64; 4] {
        let [served, unserved, unknown] =
            EpisodeResult::ALL.map(|result| counts.with_result(result));
        [served, unserved, unknown, counts.begun()]
    }

    /// One client that asks at these seconds. Each reply comes a second later, and only the
    /// last one is an answer if `is_answered`.
    fn one_client(requests: &[u64], is_answered: bool) -> EpisodeCounts {
        let start = clock::now();
        let mut outcomes = Outcomes::new(start, Settings::default());
        for (place, &at) in requests.iter().enumerate() {
            let now = start + seconds(at);
            outcomes.advance(now);
            let client = client(1, place as u64);
            outcomes.handle_client(now, &client);
            let replied = now + seconds(1);
            if is_answered && place + 1 == requests.len() {
                outcomes.handle_answer(replied, client, None);
            } else {
                outcomes.handle_refusal(replied, &client);
            }
        }
        let last = requests.last().copied().unwrap_or_default();
        outcomes.advance(start + seconds(last + 200));
        outcomes.take_episodes()
    }

    #[test]
    fn an_episode_lasts_until_a_match_works() {
        let counts = one_client(&[0, 20, 40, 70], true);
        assert_eq!(episodes(&counts), [1, 0, 0, 1]);
        assert_eq!(counts.tries().bound_of(1.0), Some(5.0));
        let until = counts.seconds().quantile(0.5).unwrap();
        assert!((60.0..=120.0).contains(&until), "{until}");
    }

    #[test]
    fn a_client_that_gives_up_is_unserved() {
        for requests in [&[0][..], &[0, 20], &[0, 59, 118]] {
            assert_eq!(episodes(&one_client(requests, false)), [0, 1, 0, 1]);
        }
    }

    #[test]
    fn a_client_that_is_silent_for_a_minute_begins_anew() {
        // The reply to the first request comes at 1 s.
        assert_eq!(episodes(&one_client(&[0, 60], true)), [1, 0, 0, 1]);
        assert_eq!(episodes(&one_client(&[0, 61], true)), [1, 1, 0, 2]);
    }

    /// It is unserved after two minutes already, and its tries are counted once it is served.
    #[test]
    fn who_is_served_late_is_unserved() {
        let start = clock::now();
        let mut outcomes = Outcomes::new(start, Settings::default());
        for number in 0..8 {
            let now = start + seconds(20 * number);
            outcomes.handle_client(now, &client(1, number));
            outcomes.handle_refusal(now, &client(1, number));
            let is_late = number > 6;
            let expected = [0, u64::from(is_late), 0, u64::from(number == 0)];
            assert_eq!(episodes(&outcomes.take_episodes()), expected, "{number}");
        }
        let now = start + seconds(160);
        outcomes.handle_client(now, &client(1, 8));
        outcomes.handle_answer(now, client(1, 8), None);
        outcomes.advance(now + seconds(130));
        let counts = outcomes.take_episodes();
        assert_eq!(episodes(&counts), [0; 4]);
        assert_eq!(counts.tries().bound_of(0.5), Some(13.0));
    }

    #[test]
    fn episodes_of_a_crowd_are_unknown() {
        let counts = one_client(&[0, 3, 6], true);
        assert_eq!(episodes(&counts), [0, 0, 1, 1]);
        assert_eq!(counts.tries().count(), 0);
    }

    /// It was connected for a while, or went elsewhere and came back.
    #[test]
    fn the_episode_of_a_client_that_is_back_after_a_minute_is_unknown() {
        let now = clock::now();
        let mut outcomes = Outcomes::new(now, Settings::default());
        outcomes.handle_client(now, &client(1, 1));
        outcomes.handle_answer(now, client(1, 1), None);
        outcomes.handle_client(now + seconds(70), &client(1, 2));
        assert_eq!(episodes(&outcomes.take_episodes()), [0, 0, 1, 2]);
    }

    #[test]
    fn different_clients_are_demand_and_their_tries_are_not() {
        let now = clock::now();
        let mut outcomes = Outcomes::new(now, Settings::default());
        let demand = |outcomes: &Outcomes| {
            let demand = outcomes.demand();
            [NatClass::Open, NatClass::Strict]
                .map(|class| (demand.recent(class), demand.unserved(class)))
        };
        for id in 0..3 {
            outcomes.handle_client(now, &client(id, 1));
        }
        assert_eq!(demand(&outcomes), [(0, 0), (3, 0)]);
        outcomes.handle_refusal(now, &client(0, 1));
        outcomes.handle_refusal(now, &client(1, 1));
        outcomes.handle_answer(now, client(2, 1), None);
        assert_eq!(demand(&outcomes), [(0, 0), (3, 2)]);
        let changed = OutcomeClient {
            class: NatClass::Open,
            ..client(0, 2)
        };
        outcomes.handle_client(now + seconds(20), &changed);
        outcomes.handle_client(now + seconds(20), &client(1, 2));
        assert_eq!(demand(&outcomes), [(1, 1), (2, 1)]);
        outcomes.handle_answer(now + seconds(20), changed, None);
        outcomes.advance(now + seconds(121));
        assert_eq!(demand(&outcomes), [(1, 0), (1, 1)]);
        outcomes.advance(now + seconds(150));
        assert_eq!(outcomes.demand(), Demand::default());
    }
}

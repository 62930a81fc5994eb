//! What the reference knows of sources and networks.

use std::time::Duration;

use snowflake_broker::matching::{Band, OverShare, SourceRecord};
use snowflake_broker::wire::nat::NatType;

use super::decisions::pool_of;
use super::{Poll, PollState, Reference, Time, source};

const MINUTE: Duration = Duration::from_mins(1);

/// All sources of a script.
const SOURCES: std::ops::Range<u8> = 0..4;

impl Reference {
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.recent.first().map(|&(at, _)| at)
    }

    /// The band of the source; then first come, first served (0), unless the source has had
    /// its share of the pool's recent clients.
    pub(super) fn turn_of_poll(&self, poll: usize) -> (Band, u64) {
        let poll = &self.polls[poll];
        let Some(number) = poll.source else {
            return (Band::Unknown, 0);
        };
        let record = self.record(number);
        let served = self.served[pool_of(poll.nat)].iter().flatten();
        let recent = served.clone().filter(|&&of| of == number).count();
        let network = source(number).network;
        let of_network = served.filter(|&&of| source(of).network == network).count();
        let first_come = self.supply.first_come.max(1);
        let first_come = (first_come * self.matches_per_minute(number))
            .checked_div(self.supply.matches_per_minute)
            .unwrap_or(first_come);
        let share = (first_come * source(number).share) as usize;
        let sources = self.supply.sources_per_network as usize;
        let network_has_its_share = sources > 0 && of_network >= share * sources;
        if recent < share && !network_has_its_share {
            (record.band, 0)
        } else if recent == 0 {
            (record.band.max(Band::Unknown), 1)
        } else {
            let turn = self.turns.get(&number).copied().unwrap_or(0);
            (record.band.max(Band::Unknown), turn)
        }
    }

    fn record(&self, number: u8) -> SourceRecord {
        self.records.get(&number).copied().unwrap_or_default()
    }

    /// A good source's limit: two more for each match that worked, tenfold at most.
    fn matches_per_minute(&self, number: u8) -> u32 {
        let record = self.record(number);
        let limit = self.supply.matches_per_minute;
        if record.band == Band::Good {
            (limit + 2 * record.worked).min(10 * limit)
        } else {
            limit
        }
    }

    pub(super) fn turn_of_client(&self, client: usize) -> u64 {
        let client = &self.clients[client];
        let network = client.offer.network;
        network.map_or(client.arrival, |network| {
            self.network_turns.get(&network).copied().unwrap_or(0)
        })
    }

    pub(super) fn take_turns(&mut self, now: Time, poll: usize, client: usize) {
        let turn = self.next_number();
        let waiting: Vec<usize> = self.queued().chain(self.overdue()).collect();
        let others_wait = waiting.iter().any(|&other| other != client);
        if let Some(network) = self.clients[client].offer.network.filter(|_| others_wait) {
            self.network_turns.insert(network, turn);
        }
        self.served[pool_of(self.polls[poll].nat)].push(self.polls[poll].source);
        self.forget_served();
        let source = self.polls[poll].source;
        if !source.is_some_and(|source| self.record(source).rests) {
            let served = pool_of(self.polls[poll].nat);
            self.fit.push((now + MINUTE, served, source));
        }
        if let Some(source) = source {
            self.turns.insert(source, turn);
            if self.supply.matches_per_minute > 0 {
                self.recent.push((now + MINUTE, source));
            }
        }
    }

    pub(super) fn forget_served(&mut self) {
        for served in &mut self.served {
            let too_many = served.len().saturating_sub(self.supply.recent_clients);
            served.drain(..too_many);
        }
    }

    /// The limit at which the source gets no client.
    pub(super) fn limit(&self, number: u8) -> Option<OverShare> {
        let share = source(number).share;
        let of_source = |poll: &&Poll| poll.source == Some(number);
        let offered = |poll: &&Poll| matches!(poll.state, PollState::Offered { .. });
        let unanswered = self.polls.iter().filter(of_source).filter(offered).count();
        let matches = self.recent.iter().filter(|(_, of)| *of == number).count();
        let has = |count, limit: u32| limit > 0 && count >= (limit * share) as usize;
        if has(matches, self.matches_per_minute(number)) {
            Some(OverShare::Matches)
        } else if has(unanswered, self.supply.unanswered) {
            Some(OverShare::Unanswered)
        } else {
            None
        }
    }

    /// The limit because of which a new poll gets no client.
    pub(super) fn refusal(&self, now: Time, number: u8, nat: NatType) -> Option<OverShare> {
        if self.record(number).rests && self.is_replaceable(now, number, nat) {
            return Some(OverShare::Resting);
        }
        let network = source(number).network;
        let is_in = |of: u8| source(of).network == network;
        let matches = self.recent.iter().filter(|&&(_, of)| is_in(of)).count();
        let limit = self.matches_per_minute(number) * self.supply.sources_per_network;
        let limit = (limit * source(number).share) as usize;
        let is_full = limit > 0 && matches >= limit;
        let limit = self.limit(number);
        limit.or(is_full.then_some(OverShare::Network))
    }

    /// Returns true if another could serve the clients of a resting source.
    fn is_replaceable(&self, now: Time, number: u8, nat: NatType) -> bool {
        let pool = pool_of(nat);
        let is_parked = self.able(|&poll| pool_of(self.polls[poll].nat) == pool) > 0;
        is_parked
            || self
                .fit
                .iter()
                .any(|&(until, of, by)| of == pool && now < until && by != Some(number))
    }

    pub(super) fn is_parking_full(&self, number: u8) -> bool {
        let parked = self.parked();
        let parked = parked.filter(|&poll| self.polls[poll].source == Some(number));
        let limit = (self.supply.parked_per_source * source(number).share) as usize;
        limit > 0 && parked.count() >= limit
    }

    /// Notes which sources have come to a limit, and which are no longer at one.
    pub(super) fn note_released(&mut self) {
        for number in SOURCES {
            if self.limit(number).is_some() {
                self.resting.insert(number);
            } else if self.resting.remove(&number) {
                self.released.insert(number);
            }
        }
    }

    /// Clients that wait get the parked polls of sources that are no longer at a limit.
    pub(super) fn serve_released(&mut self, now: Time) {
        use snowflake_broker::wire::nat::NatType::{
            Moderate, Open, Restricted, Strict, Unknown, Unrestricted,
        };
        while let Some(number) = self.released.pop_first() {
            for pool in [
                &[Open, Unrestricted][..],
                &[Moderate],
                &[Strict, Restricted, Unknown],
            ] {
                while let Some((poll, client)) = self.waiting_pair(now, number, pool) {
                    self.hand_off(now, (poll, 0, 0), client);
                }
            }
        }
    }

    fn waiting_pair(
        &mut self,
        now: Time,
        number: u8,
        pool: &[snowflake_broker::wire::nat::NatType],
    ) -> Option<(usize, usize)> {
        if self.limit(number).is_some() {
            return None;
        }
        let of_source = |&poll: &usize| {
            self.polls[poll].source == Some(number) && pool.contains(&self.polls[poll].nat)
        };
        let first = self
            .parked()
            .filter(of_source)
            .min_by_key(|&poll| (self.polls[poll].clients, self.polls[poll].arrival))?;
        let marks = self.polls[first].marks;
        let client = self.client_for(now, pool[0], Some(number), marks)?;
        Some((first, client))
    }
}

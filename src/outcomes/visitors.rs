//! The clients of the last two minutes, and the matches whose result is not known yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::blame::{BlameChange, Suspects};
use super::crowds::Crowds;
use super::demand::Demand;
use super::episodes::Episode;
use super::{MatchedProxy, OutcomeClient};
use crate::metrics::EpisodeCounts;
use crate::metrics::labels::MatchOutcome;
use crate::wire::nat::NatClass;

/// The times after its answer in which a client comes back whose match failed. It waits 10 s
/// for the data channel, and 10 s before it tries again; with a lost answer, or one that came
/// while it waited, less. Sooner it is another client.
const SOONEST_RETURN: Duration = Duration::from_secs(8);
const LATEST_RETURN: Duration = Duration::from_secs(40);
/// The time after which a match has worked whose client has not come back.
pub(super) const WORKED_AFTER: Duration = Duration::from_mins(2);

/// An answered match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) client: OutcomeClient,
    pub(super) proxy: Option<MatchedProxy>,
    answered: Instant,
}

/// A match and its outcome.
pub(super) type Ended = (Match, MatchOutcome);

/// A client of late.
#[derive(Clone, Debug)]
struct RecentClient {
    /// Its last offer, and when that came.
    offer: u64,
    came: Instant,
    /// Its last match, if the result is not known.
    open: Option<Match>,
    episode: Episode,
    suspects: Suspects,
    /// Its NAT class, and whether its last reply was no answer.
    class: NatClass,
    is_unserved: bool,
    /// The second after the start in which it is looked at again.
    due: usize,
}

impl RecentClient {
    /// Takes this class, and notes whether the client is unserved.
    fn change(&mut self, demand: &mut Demand, class: NatClass, is_unserved: bool) {
        demand.remove(self.class, self.is_unserved);
        (self.class, self.is_unserved) = (class, is_unserved);
        demand.add(class, is_unserved);
    }
}

/// The clients of late. Each is in the slot of one second, in which it is forgotten unless
/// it has come again.
#[derive(Debug)]
pub(super) struct RecentClients {
    start: Instant,
    max: usize,
    by_id: HashMap<u64, RecentClient, FixedState>,
    slots: Vec<Vec<u64>>,
    /// The seconds after the start whose slots were looked at.
    seconds: usize,
    crowds: Crowds,
    demand: Demand,
    /// The episodes that began or were decided since they were taken.
    episodes: EpisodeCounts,
}

/// A few slots more than the seconds that a client is remembered.
const SLOTS: usize = 128;

impl RecentClients {
    pub(super) fn new(now: Instant, max: usize) -> Self {
        Self {
            start: now,
            max,
            by_id: HashMap::default(),
            slots: vec![Vec::new(); SLOTS],
            seconds: 0,
            crowds: Crowds::new(now, max),
            demand: Demand::default(),
            episodes: EpisodeCounts::default(),
        }
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.crowds.set_max(max);
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn demand(&self) -> Demand {
        self.demand
    }

    pub(super) fn take_episodes(&mut self) -> EpisodeCounts {
        std::mem::take(&mut self.episodes)
    }

    /// Notes a client's request. Returns its last match if the result is known by this.
    pub(super) fn came(&mut self, now: Instant, client: &OutcomeClient) -> Option<Ended> {
        let id = client.id?;
        self.rename(client.earlier_id, id);
        let Some(visitor) = self.by_id.get_mut(&id) else {
            self.insert(now, id, client);
            return None;
        };
        if visitor.offer == client.offer {
            return None;
        }
        let since_it_came = now.saturating_duration_since(visitor.came);
        let since_answer = visitor.open.map_or(since_it_came, |open| {
            now.saturating_duration_since(open.answered)
        });
        if since_answer.min(since_it_came) < SOONEST_RETURN {
            self.crowds.count(now, id);
        }
        let is_crowd = self.crowds.contains(now, id);
        visitor.offer = client.offer;
        visitor.came = now;
        let is_unserved = visitor.is_unserved;
        visitor.change(&mut self.demand, client.class, is_unserved);
        let was_answered = visitor.open.is_some();
        visitor
            .episode
            .request(now, was_answered, is_crowd, &mut self.episodes);
        let result = if is_crowd || since_answer > LATEST_RETURN {
            MatchOutcome::Unknown
        } else {
            MatchOutcome::Failed
        };
        visitor.open.take().map(|open| (open, result))
    }

    /// Opens a match. Returns it, or the one before, if its result cannot be known.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        client: OutcomeClient,
        proxy: Option<MatchedProxy>,
    ) -> Option<Ended> {
        let new = Match {
            client,
            proxy,
            answered: now,
        };
        let id = self.known(&client);
        let known = id.and_then(|id| Some((id, self.by_id.get_mut(&id)?)));
        let Some((id, visitor)) = known else {
            return Some((new, MatchOutcome::Unknown));
        };
        let class = visitor.class;
        visitor.change(&mut self.demand, class, false);
        visitor.episode.reply(now);
        let is_another = visitor.offer != client.offer;
        if is_another {
            self.crowds.count(now, id);
        }
        if is_another || self.crowds.contains(now, id) {
            visitor.episode.lose(&mut self.episodes);
            return Some((new, MatchOutcome::Unknown));
        }
        let before = visitor.open.replace(new);
        visitor.came = now;
        before.map(|open| (open, MatchOutcome::Unknown))
    }

    /// Notes a proxy that left the client's offer unanswered. `has_vote` is true if the client
    /// has a vote against it.
    pub(super) fn unanswered(
        &mut self,
        client: &OutcomeClient,
        proxy: MatchedProxy,
        has_vote: bool,
    ) -> Vec<BlameChange> {
        let id = self.known(client);
        match id.and_then(|id| self.by_id.get_mut(&id)) {
            // An answered client is not at fault.
            Some(visitor) if visitor.open.is_none() => visitor.suspects.add(proxy, has_vote),
            _ => Suspects::default().add(proxy, has_vote),
        }
    }

    /// Notes that a proxy has answered the client, which shows that others could have.
    pub(super) fn convict(&mut self, client: &OutcomeClient) -> Vec<BlameChange> {
        let id = self.known(client);
        let visitor = id.and_then(|id| self.by_id.get_mut(&id));
        visitor.map_or_else(Vec::new, |visitor| visitor.suspects.convict())
    }

    /// Notes a reply without an answer.
    pub(super) fn refused(&mut self, now: Instant, client: &OutcomeClient) {
        let id = self.known(client);
        if let Some(visitor) = id.and_then(|id| self.by_id.get_mut(&id)) {
            let class = visitor.class;
            visitor.change(&mut self.demand, class, true);
            visitor.episode.reply(now);
        }
    }

    /// Forgets the clients that have not come for two minutes. Their matches have worked.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Ended> {
        self.crowds.advance(now);
        let mut ended = Vec::new();
        let last = self.second(now);
        // After a pause, each slot is looked at once.
        self.seconds = self.seconds.max(last.saturating_sub(SLOTS));
        while self.seconds < last {
            self.seconds += 1;
            let slot = std::mem::take(&mut self.slots[self.seconds % SLOTS]);
            for id in slot {
                ended.extend(self.look_at(id, last));
            }
        }
        ended
    }

    fn look_at(&mut self, id: u64, now: usize) -> Option<Ended> {
        let visitor = self.by_id.get_mut(&id)?;
        let due = due_after(self.start, visitor.came);
        if due > now {
            visitor.due = due;
            self.slots[due % SLOTS].push(id);
            return None;
        }
        let visitor = self.by_id.remove(&id)?;
        self.demand.remove(visitor.class, visitor.is_unserved);
        let answered = visitor.open.map(|open| open.answered);
        visitor.episode.end(answered, &mut self.episodes);
        let open = visitor.open?;
        Some((open, MatchOutcome::Worked))
    }

    /// The number under which a client is known.
    fn known(&self, client: &OutcomeClient) -> Option<u64> {
        let mut ids = [client.id, client.earlier_id].into_iter().flatten();
        ids.find(|id| self.by_id.contains_key(id))
    }

    fn insert(&mut self, now: Instant, id: u64, client: &OutcomeClient) {
        if self.by_id.len() >= self.max {
            return;
        }
        let due = due_after(self.start, now);
        self.slots[due % SLOTS].push(id);
        let visitor = RecentClient {
            offer: client.offer,
            came: now,
            open: None,
            episode: Episode::begin(now, &mut self.episodes),
            suspects: Suspects::default(),
            class: client.class,
            is_unserved: false,
            due,
        };
        self.demand.add(visitor.class, visitor.is_unserved);
        self.by_id.insert(id, visitor);
    }

    /// Knows a client again whose number was another before the key changed.
    fn rename(&mut self, earlier: Option<u64>, id: u64) {
        if let Some(earlier) = earlier {
            self.crowds.rename(earlier, id);
        }
        let known = earlier.filter(|_| !self.by_id.contains_key(&id));
        if let Some(visitor) = known.and_then(|earlier| self.by_id.remove(&earlier)) {
            self.slots[visitor.due % SLOTS].push(id);
            self.by_id.insert(id, visitor);
        }
    }

    /// The seconds after the start.
    fn second(&self, now: Instant) -> usize {
        let since = now.saturating_duration_since(self.start);
        usize::try_from(since.as_secs()).unwrap_or(usize::MAX)
    }
}

/// The second after the start in which the match of a client that came then has worked.
fn due_after(start: Instant, came: Instant) -> usize {
    let since = came.saturating_duration_since(start) + WORKED_AFTER;
    let seconds = since.as_secs() + u64::from(since.subsec_nanos() > 0);
    usize::try_from(seconds).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    #[test]
    fn a_crowd_is_forgotten_within_two_hours_though_nobody_comes() {
        let start = clock::now();
        let mut clients = RecentClients::new(start, 10);
        clients.crowds.count(start, 1);
        for (hours, known) in [(1, 1), (2, 0)] {
            clients.advance(start + Duration::from_hours(hours));
            assert_eq!(clients.crowds.len(), known, "{hours}");
        }
    }
}

//! The quotas of addresses: token buckets, one kind for proxy polls,
//! one for client polls, one for answers. It is the broker's and not a front's,
//! so that a poll that is turned away is in the books like any other, and
//! clients that come through a queue can be limited like the others.
//!
//! # The buckets of an address
//!
//! An IPv4 address has one, and its /24; of IPv6 a /64, of which a single user has
//! a whole, and the /56 and /48 around it, of which some users have a whole, too.
//! The larger ones hold more. A request takes from each of them, or is turned away
//! and takes from none.
//!
//! Some requests count twice:
//!
//! - Those of an [intermediary](RequestOrigin::Intermediary) count against it, with a
//!   quota that is `intermediary_factor` times as large: wide enough for all
//!   clients of an AMP cache. A client's poll besides counts against the address
//!   in its offer's candidates, with the quota of one address. A client can write
//!   there what it likes: somebody who wants to evade this limit does, and is left
//!   with the first. It keeps honest programs that have gone wild from using up
//!   what all clients of the cache share.
//! - Those of an [unconfirmed](RequestOrigin::Unconfirmed) peer count against it, with
//!   `unconfirmed_factor` quotas in all, one of which it has as itself; and against
//!   the address that it claims, or else that in the offer, so that one client
//!   behind an honest CDN cannot use all of it. These buckets are each peer's own:
//!   a stranger who claims somebody's address takes nothing from that.
//!
//! A client that [wrote into a queue](RequestOrigin::Queue) counts against the address in
//! its offer only: how many such clients are served at once is the queue's own
//! limit. Buckets of addresses that somebody says to have are apart from those of
//! senders, so that nobody can use up another's by naming its address.
//!
//! # Who pays more
//!
//! A request costs one token, one that is [malformed](MALFORMED) ten, and a client
//! that [leaves](LEFT) before its reply has paid five. A bucket that has fewer owes
//! the rest. Nobody pays for what the broker breaks off itself.
//!
//! # What is kept
//!
//! No address: a 64-bit hash of each network under a key that nobody else knows,
//! and when its bucket is full again. Every hour the tables are emptied and the key
//! is replaced by one derived from it, from which the old one cannot be told. Who
//! has the memory can thus test for an hour at most whether an address was here,
//! and everybody has a full bucket once an hour, which a burst of half a minute's
//! quota makes small. How the tables are bounded, `table` says.

mod intermediaries;
mod key;
mod networks;
mod settings;
mod table;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::time::sleep_until;

use crate::metrics::labels::Request;
use crate::networks::LEVELS;

use super::caller::RequestOrigin;
use super::clock;

pub use intermediaries::{GOOGLE, Intermediary, InvalidIntermediary};
pub use key::LimitKey;
pub use settings::Settings;

use key::BucketRole;
use networks::networks;
use table::{BucketTable, Draw, Quota};

/// The time that a key is used.
const KEY_LIFETIME: Duration = Duration::from_hours(1);

/// The price of a request that is not understood, in tokens.
pub const MALFORMED: u64 = 10;
/// The price of a client's poll whose client leaves before its reply, in tokens:
/// that is how all proxies can be taken from others at little cost.
pub const LEFT: u64 = 5;

/// The quotas of all addresses, and their use of late.
pub struct Limits(ArcSwap<Hour>);

impl Limits {
    /// Nobody has asked for anything.
    pub fn new(settings: Settings, key: LimitKey) -> Self {
        Self(ArcSwap::from_pointee(Hour::new(
            settings,
            key,
            clock::now(),
        )))
    }

    /// Replaces the settings. If they differ, everybody has a full bucket.
    pub fn set(&self, settings: &Settings) {
        self.0.rcu(|hour| {
            if hour.settings == *settings {
                return Arc::clone(hour);
            }
            Arc::new(Hour::new(settings.clone(), hour.key.next(), clock::now()))
        });
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Settings {
        self.0.load().settings.clone()
    }

    /// Returns true if somebody at this address passes on the requests of many.
    pub(super) fn is_intermediary(&self, address: IpAddr) -> bool {
        let hour = self.0.load();
        let mut known = hour.settings.intermediaries.iter();
        known.any(|intermediary| intermediary.contains(address))
    }

    /// Returns true if a request may be served; if so it is counted. `claimed` is the
    /// address that its sender says to have.
    pub(super) fn admits(
        &self,
        request: Request,
        origin: RequestOrigin,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        let hour = self.0.load();
        let draws = hour.draws(request, origin, claimed);
        draws.is_empty() || hour.table(request).take(hour.now(), &draws)
    }

    /// Returns true if a request of this origin would be served, as far as its content does
    /// not matter for that.
    pub(super) fn has_room(&self, request: Request, origin: RequestOrigin) -> bool {
        let hour = self.0.load();
        let draws = hour.draws(request, origin, || None);
        draws.is_empty() || hour.table(request).has_room(hour.now(), &draws)
    }

    /// Takes so many tokens, as many as there are.
    pub(super) fn charge(
        &self,
        request: Request,
        origin: RequestOrigin,
        claimed: Option<IpAddr>,
        tokens: u64,
    ) {
        let hour = self.0.load();
        let draws = hour.draws(request, origin, || claimed);
        if !draws.is_empty() {
            hour.table(request).charge(hour.now(), &draws, tokens);
        }
    }

    /// Begins each hour in its time. Never returns.
    pub(super) async fn keep_hours(&self) {
        loop {
            let end = self.0.load().began + KEY_LIFETIME;
            sleep_until(end.into()).await;
            self.0.rcu(|hour| {
                if hour.is_over(clock::now()) {
                    let (settings, key) = (hour.settings.clone(), hour.key.next());
                    Arc::new(Hour::new(settings, key, clock::now()))
                } else {
                    Arc::clone(hour)
                }
            });
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Limits(..)")
    }
}

/// Everything that holds while a key does.
struct Hour {
    settings: Settings,
    key: LimitKey,
    began: Instant,
    proxy_polls: BucketTable,
    client_polls: BucketTable,
    answers: BucketTable,
}

impl Hour {
    fn new(settings: Settings, key: LimitKey, now: Instant) -> Self {
        // An address fills one place, and another with those around it.
        let table = || BucketTable::new(settings.max_addresses.saturating_mul(2));
        Self {
            proxy_polls: table(),
            client_polls: table(),
            answers: table(),
            settings,
            key,
            began: now,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= KEY_LIFETIME
    }

    /// Nanoseconds since it began.
    fn now(&self) -> u64 {
        let since = clock::now().saturating_duration_since(self.began);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
    }

    fn table(&self, request: Request) -> &BucketTable {
        match request {
            Request::ProxyPoll => &self.proxy_polls,
            Request::ClientPoll => &self.client_polls,
            Request::ProxyAnswer => &self.answers,
        }
    }

    fn quota(&self, request: Request, factor: u32) -> Option<Quota> {
        let s = &self.settings;
        let (per_minute, burst) = match request {
            Request::ProxyPoll => (s.proxy_polls_per_minute, s.proxy_poll_burst),
            Request::ClientPoll => (s.client_polls_per_minute, s.client_poll_burst),
            Request::ProxyAnswer => (s.answers_per_minute, s.answer_burst),
        };
        Quota::new(per_minute, burst, factor)
    }

    /// The buckets that a request takes from, the narrowest first.
    fn draws(
        &self,
        request: Request,
        origin: RequestOrigin,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> Vec<Draw> {
        let s = &self.settings;
        let mut draws = Vec::new();
        let mut add = |role, address, factor| {
            if !self.is_exempt(address) {
                self.add(&mut draws, request, role, address, factor);
            }
        };
        match origin {
            RequestOrigin::Local => {}
            RequestOrigin::Sender(address) => add(BucketRole::Sender, address, 1),
            RequestOrigin::Intermediary(address) if self.is_exempt(address) => {}
            RequestOrigin::Intermediary(address) => {
                if let Some(claimed) = claimed() {
                    add(BucketRole::Claimed, claimed, 1);
                }
                add(BucketRole::Intermediary, address, s.intermediary_factor);
            }
            RequestOrigin::Unconfirmed {
                peer,
                claimed: named,
            } => {
                // One quota it has as a sender.
                let others = s.unconfirmed_factor.saturating_sub(1).max(1);
                if let Some(claimed) = named.or_else(claimed) {
                    add(BucketRole::ClaimedBy(peer), claimed, 1);
                }
                add(BucketRole::Claimant, peer, others);
            }
            RequestOrigin::Queue => {
                if let Some(claimed) = claimed() {
                    add(BucketRole::Claimed, claimed, 1);
                }
            }
        }
        draws
    }

    /// Adds the buckets of all networks that an address is in.
    fn add(
        &self,
        draws: &mut Vec<Draw>,
        request: Request,
        role: BucketRole,
        address: IpAddr,
        factor: u32,
    ) {
        draws.reserve(LEVELS);
        draws.extend(networks(address).filter_map(|(network, level_factor)| {
            let quota = self.quota(request, factor.saturating_mul(level_factor))?;
            let hash = self.key.hash(role, network);
            Some(Draw { hash, quota })
        }));
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.settings
            .exempt
            .iter()
            .any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests;

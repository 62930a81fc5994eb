//! Quotas of addresses: token buckets, of separate kinds for proxy polls, client polls
//! and answers. They belong to the broker rather than to a front, so that refused polls
//! are counted like all others, and clients that come through a queue can be limited too.
//!
//! # Buckets of an address
//!
//! An IPv4 address has one bucket, and its /24 another. An IPv6 address has buckets for
//! its /64, which a single user has, and for the /56 and /48 around it, which some users
//! have. Larger networks have larger buckets. A request takes a token from each of them,
//! or is refused and takes none.
//!
//! Some requests count twice:
//!
//! - Requests from an [intermediary](RequestOrigin::Intermediary) count against its
//!   address, with a quota `intermediary_factor` times as large, which suffices for all
//!   clients of an AMP cache. A client's poll also counts against the address in its
//!   offer's candidates, with the quota of one address. A client can write any address
//!   there, so those who want to evade this limit are bound only by the first; it keeps
//!   runaway honest programs from using up what all clients of the cache share.
//! - Requests from an [unconfirmed](RequestOrigin::Unconfirmed) remote address count
//!   against it, with `unconfirmed_factor` quotas in all, one of which is its own; and
//!   against the address that it claims to forward for, or else the address in the offer,
//!   so that one client behind an honest CDN cannot use the whole quota. These buckets
//!   exist separately for each remote address, so a stranger's claim about an address
//!   takes nothing from that address.
//!
//! A client that [wrote into a queue](RequestOrigin::Queue) counts against the address in
//! its offer only; the queue itself limits how many clients are served at once. Buckets
//! for claimed addresses are separate from those of senders, so that nobody can use up
//! another address's quota by naming it.
//!
//! # Prices
//!
//! A request costs one token, a [malformed](MALFORMED) one ten, and a client that
//! [leaves](LEFT) before its reply five in all. A bucket with too few tokens owes the
//! rest. Requests that the broker itself breaks off cost nothing more.
//!
//! # Stored data
//!
//! No addresses are stored, but only a 64-bit hash of each network under a secret key,
//! and the time at which its bucket will be full again. Every hour the tables are emptied
//! and the key is replaced by one derived from it, from which the old one cannot be
//! recovered. An attacker with the memory can therefore test at most an hour back whether
//! an address was here. Each address also gets a full bucket once an hour, which matters
//! little, because a burst is half a minute's quota. `table` describes how the tables are
//! bounded.

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
pub(super) use key::PlaceNetwork;
pub use settings::Settings;

use key::BucketRole;
use networks::networks;
use table::{BucketTable, Draw, Quota};

/// The time for which a key is used.
const KEY_LIFETIME: Duration = Duration::from_hours(1);

/// The price of a malformed request, in tokens.
pub const MALFORMED: u64 = 10;
/// The price of a poll whose client leaves before its reply, in tokens. Such polls would
/// otherwise be a cheap way to take all proxies from other clients.
pub const LEFT: u64 = 5;

/// Tokens that were taken, and may be given back.
#[derive(Debug)]
pub(super) struct ChargedTokens {
    request: Request,
    draws: Vec<Draw>,
    tokens: u64,
}

/// The quotas of all addresses and their recent use.
pub struct Limits(ArcSwap<Hour>);

impl Limits {
    /// Creates limits with full buckets.
    pub fn new(settings: Settings, key: LimitKey) -> Self {
        Self(ArcSwap::from_pointee(Hour::new(
            settings,
            key,
            clock::now(),
        )))
    }

    /// Replaces the settings. If they differ, all buckets are full again.
    pub fn set(&self, settings: &Settings) {
        self.0.rcu(|hour| {
            if hour.settings == *settings {
                return Arc::clone(hour);
            }
            Arc::new(Hour::new(settings.clone(), hour.key.next(), clock::now()))
        });
    }

    /// The current settings.
    pub(super) fn settings(&self) -> Settings {
        self.0.load().settings.clone()
    }

    /// The number of sources as which an origin counts: one that claims to forward for
    /// others as many as it may bring, an exempt one as any number.
    pub(super) fn share_factor(&self, origin: RequestOrigin) -> u32 {
        let hour = self.0.load();
        match origin {
            RequestOrigin::Sender(address) | RequestOrigin::Unconfirmed { peer: address, .. }
                if hour.is_exempt(address) =>
            {
                u32::MAX
            }
            RequestOrigin::Unconfirmed { .. } => hour.settings.unconfirmed_factor,
            _ => 1,
        }
    }

    /// Returns true if this address forwards the requests of many senders.
    pub(super) fn is_intermediary(&self, address: IpAddr) -> bool {
        let hour = self.0.load();
        let mut known = hour.settings.intermediaries.iter();
        known.any(|intermediary| intermediary.contains(address))
    }

    /// Returns true if a request may be served, and counts it in that case. `claimed` is
    /// the address that its sender claims.
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

    /// Returns true if a request of this origin would be served, as far as that does not
    /// depend on its content.
    pub(super) fn has_room(&self, request: Request, origin: RequestOrigin) -> bool {
        let hour = self.0.load();
        let draws = hour.draws(request, origin, || None);
        draws.is_empty() || hour.table(request).has_room(hour.now(), &draws)
    }

    /// Takes this many tokens. They can be given back.
    pub(super) fn charge(
        &self,
        request: Request,
        origin: RequestOrigin,
        claimed: Option<IpAddr>,
        tokens: u64,
    ) -> ChargedTokens {
        let hour = self.0.load();
        let mut draws = hour.draws(request, origin, || claimed);
        if !draws.is_empty() {
            let paying = hour.table(request).charge(hour.now(), &draws, tokens);
            draws.truncate(paying);
        }
        ChargedTokens {
            request,
            draws,
            tokens,
        }
    }

    /// Gives tokens back.
    pub(super) fn refund(&self, charged: &ChargedTokens) {
        let hour = self.0.load();
        let table = hour.table(charged.request);
        table.refund(hour.now(), &charged.draws, charged.tokens);
    }

    /// Starts a new hour whenever the current one ends. Never returns.
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

/// The state that belongs to one key.
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
        // An address fills one slot, and the networks around it another.
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

    /// Nanoseconds since the hour began.
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

    /// The buckets that a request takes from, narrowest first.
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
                // One of its quotas is the sender's own.
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

    /// Adds the buckets of all networks around an address.
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

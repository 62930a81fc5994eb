//! How much one address may ask for: token buckets, one kind for proxy polls,
//! one for client polls, one for answers. It is the broker's and not a front's,
//! so that a poll that is turned away is in the books like any other, and
//! clients that come through a queue can be limited like the others.
//!
//! # Whose bucket
//!
//! An IPv4 address has one, and an IPv6 /64, of which a single user has a whole.
//! Who has a /48 has 65,536 of these, and looks like as many customers of one
//! provider: no limit by address tells them apart.
//!
//! A request that comes from an [intermediary](Origin::Intermediary) counts twice:
//!
//! - against the intermediary, whose quota is `intermediary_factor` times as
//!   large. It is wide enough for all clients of an AMP cache, and keeps somebody
//!   who poses as one from having none;
//! - a client's poll besides against the address in its offer's candidates, with
//!   the quota of one address. A client can write there what it likes: somebody
//!   who wants to evade this limit does, and is left with the first. It keeps
//!   honest programs that have gone wild from using up what all clients of the
//!   cache share. These buckets are apart from those of senders, so that nobody
//!   can use up another's by naming its address, but among intermediaries.
//!
//! A client that [wrote into a queue](Origin::Queue) counts in that second way
//! only: how many such clients are served at once is the queue's own limit.
//!
//! # What is kept
//!
//! No address: a 64-bit hash of each under a key that nobody else knows, and when
//! its bucket is full again. Every hour the tables are emptied and the key is
//! replaced by one derived from it, from which the old one cannot be told. Who
//! has the memory can thus test for an hour at most whether an address was here,
//! and everybody has a full bucket once an hour, which a burst of half a minute's
//! quota makes small. How the tables are bounded, `table` says.

mod settings;
mod table;

use std::fmt;
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use siphasher::sip::SipHasher24;
use siphasher::sip128;
use siphasher::sip128::Hasher128 as _;
use tokio::time::sleep_until;

use crate::metrics::labels::Request;

use super::{Broker, Origin, clock};

pub use settings::Settings;

use table::Table;

/// How long a key is used.
const KEY_LIFETIME: Duration = Duration::from_hours(1);

const MINUTE: Duration = Duration::from_mins(1);

/// The key of the first hour's hashes: 128 random bits from the caller. `Debug`
/// does not show them, and they are not written anywhere.
#[derive(Clone, Copy)]
pub struct LimitKey([u8; 16]);

impl From<[u8; 16]> for LimitKey {
    fn from(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LimitKey(..)")
    }
}

/// How much each address has asked for lately, and how much it may.
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

    /// Whether a request may be served; if so it is counted. `claimed` is the
    /// address that its sender says to have.
    fn admits(
        &self,
        request: Request,
        origin: Origin,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        self.0.load().admits(request, origin, claimed)
    }

    /// Begins each hour in its time. Never returns.
    async fn keep_hours(&self) {
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

impl Broker {
    /// The same, with limits for each address.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The limits in force, if there are any.
    pub fn limits(&self) -> Option<Settings> {
        let limits = self.limits.as_ref()?;
        Some(limits.0.load().settings.clone())
    }

    /// Replaces the limits, if there are any.
    pub fn set_limits(&self, settings: &Settings) {
        if let Some(limits) = &self.limits {
            limits.set(settings);
        }
    }

    /// Forgets each hour what addresses have asked for. Never returns.
    pub(super) async fn keep_hours(&self) {
        match &self.limits {
            Some(limits) => limits.keep_hours().await,
            None => std::future::pending().await,
        }
    }

    /// Whether a request may be served; see [`Limits::admits`].
    pub(super) fn admits(
        &self,
        request: Request,
        origin: Origin,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        let limits = self.limits.as_ref();
        limits.is_none_or(|limits| limits.admits(request, origin, claimed))
    }
}

/// What holds while a key does.
struct Hour {
    settings: Settings,
    key: LimitKey,
    began: Instant,
    proxy_polls: Buckets,
    client_polls: Buckets,
    answers: Buckets,
}

impl Hour {
    fn new(settings: Settings, key: LimitKey, now: Instant) -> Self {
        let s = &settings;
        let buckets = |per_minute, burst| Buckets::new(s, per_minute, burst, now);
        Self {
            proxy_polls: buckets(s.proxy_polls_per_minute, s.proxy_poll_burst),
            client_polls: buckets(s.client_polls_per_minute, s.client_poll_burst),
            answers: buckets(s.answers_per_minute, s.answer_burst),
            settings,
            key,
            began: now,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= KEY_LIFETIME
    }

    fn admits(
        &self,
        request: Request,
        origin: Origin,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        let buckets = match request {
            Request::ProxyPoll => &self.proxy_polls,
            Request::ClientPoll => &self.client_polls,
            Request::ProxyAnswer => &self.answers,
        };
        let has_token = |bucket: &Option<Bucket>, known, address| {
            let bucket = bucket.as_ref();
            bucket.is_none_or(|bucket| bucket.check_key(&self.key.hash(known, address)).is_ok())
        };
        let has_token_of_claimed =
            || claimed().is_none_or(|claimed| has_token(&buckets.senders, Known::Claimed, claimed));
        match origin {
            Origin::Local => true,
            Origin::Sender(address) | Origin::Intermediary(address) if self.is_exempt(address) => {
                true
            }
            Origin::Sender(address) => has_token(&buckets.senders, Known::Seen, address),
            Origin::Intermediary(address) => {
                has_token(&buckets.intermediaries, Known::Seen, address) && has_token_of_claimed()
            }
            Origin::Queue => has_token_of_claimed(),
        }
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.settings
            .exempt
            .iter()
            .any(|net| net.contains(&address))
    }
}

/// The buckets of one address each.
type Bucket = RateLimiter<u64, Table, SinceStart>;

/// The buckets of one kind of request; `None` without a limit.
struct Buckets {
    senders: Option<Bucket>,
    intermediaries: Option<Bucket>,
}

impl Buckets {
    fn new(settings: &Settings, per_minute: u32, burst: u32, now: Instant) -> Self {
        let bucket = |factor| {
            let quota = quota(per_minute, burst, factor)?;
            let table = Table::new(settings.max_addresses);
            Some(RateLimiter::new(quota, table, SinceStart(now)))
        };
        Self {
            senders: bucket(1),
            intermediaries: bucket(settings.intermediary_factor),
        }
    }
}

/// `None` for a rate of 0.
fn quota(per_minute: u32, burst: u32, factor: u32) -> Option<Quota> {
    let per_minute = NonZeroU32::new(per_minute.saturating_mul(factor))?;
    let burst = NonZeroU32::new(burst.saturating_mul(factor)).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(MINUTE / per_minute.get())?;
    Some(quota.allow_burst(burst))
}

/// The broker's clock, as governor reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SinceStart(Instant);

impl SinceStart {
    /// Counted from now on.
    pub(super) fn now() -> Self {
        Self(clock::now())
    }
}

impl governor::clock::Clock for SinceStart {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        clock::now().saturating_duration_since(self.0).into()
    }
}

/// How an address is known.
#[derive(Clone, Copy)]
enum Known {
    /// From the connection, or from a header that is believed.
    Seen,
    /// Its sender says so.
    Claimed,
}

impl LimitKey {
    /// The hash of an IPv4 address or of the /64 of an IPv6 address.
    fn hash(self, known: Known, address: IpAddr) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(known as u8);
        match address.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()[..8]),
        }
        hasher.finish()
    }

    /// The key of the next hour; this one cannot be told from it.
    fn next(self) -> Self {
        let mut hasher = sip128::SipHasher24::new_with_key(&self.0);
        hasher.write(b"the next hour's key");
        Self(hasher.finish128().as_bytes())
    }
}

#[cfg(test)]
mod tests;

//! Cost of an engine step among 1,000 to 1,000,000 parked polls, and the memory of a
//! parked poll.
//!
//! Targets: a match in a few microseconds among a million polls, which is a hundredth of what
//! the whole request takes, and at most logarithmic growth. Run with `cargo bench --bench
//! matching`.
//!
//! Each figure is one `handle_*` call and the taking of its outputs. All polls report the
//! same load, so a match takes the oldest one, which is no longer in the processor's
//! caches. A seventh of polls and clients use the open pool, about the share of the
//! largest broker. The polls of the first group have no known source; in the second, each
//! has its own, as nearly all on the large broker, and in the third each source has about
//! four, which is worse: the next one of the same source is anywhere in memory. Clients have
//! networks, too. The engine's time passes so quickly that only a thousand closed polls
//! are remembered, so the figures grow with the parked polls only.
#![expect(clippy::print_stderr, reason = "memory is not what criterion measures")]

#[path = "support/resident.rs"]
mod resident;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use slotmap::SecondaryMap;
use snowflake_broker::broker::clock;
use snowflake_broker::matching::{
    ClientOffer, Matcher, MatchesElsewhere, Output, PollKey, PollReply, Settings, Source,
    SourceRecord, SupplyHint,
};
use snowflake_broker::policy::PolicyMarks;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};
use snowflake_broker::wire::session_description::SessionDescription;

use resident::resident_bytes;

const CROWDS: [u32; 3] = [1_000, 100_000, 1_000_000];
/// Number of polls or clients measured in a row; small compared with the smallest crowd.
const BATCH: u32 = 100;
/// The number of sources in one network.
const SOURCES_OF_A_NETWORK: u32 = 4;
/// The time between two steps. A match takes three steps, so a thousand matches fit into
/// the 30 s for which closed polls are remembered.
const STEP: Duration = Duration::from_millis(10);
/// Longer than the program runs, so that polls stay parked.
const FOR_LONG: Duration = Duration::from_hours(10 * 365 * 24);

/// The sources of polls.
#[derive(Clone, Copy)]
enum Sources {
    Unknown,
    OneEach,
    /// This many.
    Some(u32),
}

/// The engine and the polls parked in it.
struct Crowd {
    matcher: Matcher,
    now: Instant,
    offer: SessionDescription,
    random: Rng,
    arrivals: u32,
    sources: Sources,
    /// The number of sources so far, if each poll has its own.
    last_source: u32,
    keys: Vec<PollKey>,
    /// The index of each poll's key, and its Sid.
    parked: SecondaryMap<PollKey, (usize, Sid)>,
}

impl Crowd {
    /// Creates a crowd of `size` polls, most of which have replaced others.
    fn of(size: u32, sources: Sources) -> Self {
        let offer = SessionDescription::parse(r#"{"type":"offer","sdp":"v=0"}"#);
        let mut crowd = Self {
            matcher: Matcher::new(settings(FOR_LONG)),
            now: clock::now(),
            offer: offer.expect("an offer"),
            random: Rng::with_seed(1),
            arrivals: 0,
            sources,
            last_source: 0,
            keys: Vec::new(),
            parked: SecondaryMap::new(),
        };
        crowd.register(size);
        for _ in 0..size / BATCH {
            crowd.register(BATCH);
            crowd.disconnect(BATCH);
        }
        crowd
    }

    fn register(&mut self, count: u32) -> Duration {
        let numbers = self.arrivals..self.arrivals + count;
        let polls: Vec<_> = numbers.map(proxy_poll).collect();
        self.arrivals += count;
        let mut keys = Vec::with_capacity(polls.len());
        let begin = clock::now();
        for poll in &polls {
            self.now += STEP;
            let source = self.draw_source();
            let key =
                self.matcher
                    .handle_poll(self.now, self.now, poll, source, PolicyMarks::default());
            keys.push(key.expect("every Sid is unique"));
            self.drain();
        }
        let taken = begin.elapsed();
        for (key, poll) in keys.into_iter().zip(polls) {
            self.parked.insert(key, (self.keys.len(), poll.sid));
            self.keys.push(key);
        }
        taken
    }

    /// Matches `count` clients. Returns the time taken and the Sids of the polls.
    fn match_clients(&mut self, count: u32) -> (Duration, Vec<Sid>) {
        let networks: Vec<_> = (0..count).map(|_| self.draw_source()).collect();
        let numbered = (0..count).zip(networks);
        let offers: Vec<_> = numbered
            .map(|(number, source)| self.client_offer(number, source))
            .collect();
        let mut matched = Vec::with_capacity(offers.len());
        let begin = clock::now();
        for offer in offers {
            self.now += STEP;
            self.matcher
                .handle_client(self.now, self.now, offer, SupplyHint::NoPeers);
            while let Some(output) = self.matcher.next_output() {
                if let Output::Poll(key, PollReply::Offer(_)) = black_box(output) {
                    matched.push(key);
                }
            }
        }
        let taken = begin.elapsed();
        assert_eq!(
            matched.len(),
            matched.capacity(),
            "a client without a proxy"
        );
        let sids = matched.into_iter().map(|key| self.forget(key)).collect();
        (taken, sids)
    }

    fn answer(&mut self, sids: Vec<Sid>) -> Duration {
        let begin = clock::now();
        for sid in sids {
            self.now += STEP;
            let answer = self.offer.clone();
            black_box(self.matcher.handle_answer(self.now, &sid, answer));
            self.drain();
        }
        begin.elapsed()
    }

    /// Disconnects random parked polls.
    fn disconnect(&mut self, count: u32) -> Duration {
        let leaving: Vec<_> = (0..count).map(|_| self.draw()).collect();
        let begin = clock::now();
        for key in leaving {
            self.now += STEP;
            self.matcher.handle_poll_gone(self.now, key);
            self.drain();
        }
        begin.elapsed()
    }

    /// Adds polls and lets them time out.
    fn expire(&mut self, count: u32) -> Duration {
        self.matcher.set_settings(settings(STEP * count));
        self.register(count);
        self.matcher.set_settings(settings(FOR_LONG));
        let expiring = self.keys[self.keys.len() - count as usize..].to_vec();
        let begin = clock::now();
        for _ in &expiring {
            self.now += STEP;
            self.matcher.handle_timeout(self.now);
            self.drain();
        }
        let taken = begin.elapsed();
        for key in expiring {
            self.forget(key);
        }
        taken
    }

    fn drain(&mut self) {
        while let Some(output) = self.matcher.next_output() {
            black_box(output);
        }
    }

    /// The source of the next poll, if it is known.
    fn draw_source(&mut self) -> Option<Source> {
        let id = match self.sources {
            Sources::Unknown => return None,
            Sources::OneEach => {
                self.last_source += 1;
                self.last_source
            }
            Sources::Some(number) => self.random.u32(..number),
        };
        Some(Source {
            id: scattered(id),
            network: scattered(id / SOURCES_OF_A_NETWORK),
            share: 1,
            record: SourceRecord::default(),
            elsewhere: MatchesElsewhere::default(),
        })
    }

    fn client_offer(&self, number: u32, source: Option<Source>) -> ClientOffer {
        ClientOffer {
            offer: self.offer.clone(),
            // Clients behind restricted NATs take polls from the open pool.
            nat: if is_one_of_seven(number) {
                NatType::Restricted
            } else {
                NatType::Unrestricted
            },
            relay_url: "wss://snowflake.torproject.net/".into(),
            network: source.map(|source| source.network),
            marks: PolicyMarks::default(),
        }
    }

    fn draw(&mut self) -> PollKey {
        let key = self.keys[self.random.usize(..self.keys.len())];
        self.forget(key);
        key
    }

    fn forget(&mut self, key: PollKey) -> Sid {
        let (place, sid) = self.parked.remove(key).expect("the Sid's poll is parked");
        self.keys.swap_remove(place);
        if let Some(&moved) = self.keys.get(place) {
            self.parked[moved].0 = place;
        }
        sid
    }
}

/// A number as a keyed hash would be: sources are in no order.
fn scattered(number: u32) -> u64 {
    u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn settings(proxy_timeout: Duration) -> Settings {
    Settings {
        proxy_timeout,
        max_parked_polls: usize::MAX,
        ..Settings::default()
    }
}

fn proxy_poll(number: u32) -> ProxyPoll {
    ProxyPoll {
        sid: Sid::new(&number.to_string()).expect("a number is not empty"),
        proxy_type: ProxyType::WEBEXT,
        type_name: None,
        nat: if is_one_of_seven(number % BATCH) {
            NatType::Unrestricted
        } else {
            NatType::Restricted
        },
        clients: 0,
        accepted_relay_pattern: None,
    }
}

fn is_one_of_seven(number: u32) -> bool {
    number.is_multiple_of(7)
}

fn registers(crowd: &mut Crowd, count: u32) -> Duration {
    let taken = crowd.register(count);
    crowd.disconnect(count);
    taken
}

fn disconnects(crowd: &mut Crowd, count: u32) -> Duration {
    crowd.register(count);
    crowd.disconnect(count)
}

fn matches(crowd: &mut Crowd, count: u32) -> Duration {
    crowd.register(count);
    let (taken, sids) = crowd.match_clients(count);
    crowd.answer(sids);
    taken
}

fn answers(crowd: &mut Crowd, count: u32) -> Duration {
    crowd.register(count);
    let (_, sids) = crowd.match_clients(count);
    crowd.answer(sids)
}

/// The time of one kind of step, repeated in a crowd whose size does not change.
type Measure = fn(&mut Crowd, u32) -> Duration;

const STEPS: [(&str, Measure); 5] = [
    ("register", registers),
    ("match", matches),
    ("answer", answers),
    ("disconnect", disconnects),
    ("idle until its time is up", Crowd::expire),
];

fn steps(criterion: &mut Criterion) {
    group(criterion, "engine", |_| Sources::Unknown);
    group(criterion, "engine with sources", |_| Sources::OneEach);
    group(criterion, "engine with four polls a source", |size| {
        Sources::Some(size / 4)
    });
}

fn group(criterion: &mut Criterion, name: &str, sources: fn(u32) -> Sources) {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(2));
    group.sample_size(30);
    for size in CROWDS {
        let mut crowd = Crowd::of(size, sources(size));
        for (name, measure) in STEPS {
            group.bench_function(format!("{name}/{size}"), |bencher| {
                bencher.iter_custom(|count| {
                    let batches = count.div_ceil(BATCH.into());
                    let taken: Duration = (0..batches).map(|_| measure(&mut crowd, BATCH)).sum();
                    let steps = u128::from(batches) * u128::from(BATCH);
                    Duration::from_nanos_u128(taken.as_nanos() * u128::from(count) / steps)
                });
            });
        }
    }
    group.finish();
}

fn memory(_: &mut Criterion) {
    for size in CROWDS {
        let before = resident_bytes();
        let mut matcher = Matcher::new(settings(FOR_LONG));
        let now = clock::now();
        for number in 0..size {
            let key =
                matcher.handle_poll(now, now, &proxy_poll(number), None, PolicyMarks::default());
            key.expect("every Sid is unique");
        }
        let grown = resident_bytes().saturating_sub(before);
        eprintln!(
            "{size} parked polls take {} bytes each",
            grown / u64::from(size)
        );
        black_box(matcher);
    }
}

criterion_group!(benches, memory, steps);
criterion_main!(benches);

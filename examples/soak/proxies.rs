//! Proxies: honest ones, and those that are mute, late, gone, doubled or malformed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::caller::{Caller, Front, Reply};
use crate::load::World;
use crate::messages::{Messages, ProxyKind};
use crate::network::somebody;
use crate::tally::{Fate, Kind};

/// The number of the first proxy's address.
const FIRST: u16 = 1_000;
/// What all `Sid`s begin with, which nobody may see.
pub(crate) const SID: &str = "soaksid";
const PATTERN: &str = "snowflake.torproject.net$";

/// What a proxy does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Honest,
    /// Never answers.
    Mute,
    /// Answers when its client's time is over.
    Late,
    /// Answers twice.
    Double,
    /// Leaves while its poll is parked.
    Leaving,
    /// Answers what it was not asked.
    Stray,
    /// Sends rubbish as poll or answer.
    Malformed,
    /// Accepts no relay of ours.
    OtherRelay,
}

/// One of 20 proxies each, but for the honest ones.
const HABITS: [Habit; 8] = [
    Habit::Mute,
    Habit::Late,
    Habit::Double,
    Habit::Leaving,
    Habit::Stray,
    Habit::Malformed,
    Habit::OtherRelay,
    Habit::Honest,
];

struct Proxy {
    world: Arc<World>,
    caller: Caller,
    habit: Habit,
    number: u16,
    path: &'static str,
}

/// Polls, with a number of its own, below a path until the load ends.
pub(crate) async fn poll_again_and_again(
    world: Arc<World>,
    front: Front,
    number: u16,
    path: &'static str,
) {
    let from = somebody(FIRST + number);
    let caller = Caller::new(&front, from, number % 4 == 3, number % 5 != 4);
    let habit = HABITS[usize::from(number % 20).min(HABITS.len() - 1)];
    let mut proxy = Proxy {
        world,
        caller,
        habit,
        number,
        path,
    };
    let mut pause = 0..2_000;
    while proxy.world.pause(pause).await {
        pause = proxy.serve_one().await;
    }
}

impl Proxy {
    /// One poll, and what follows. Returns the time until the next one, in milliseconds.
    async fn serve_one(&mut self) -> Range<u64> {
        let sid = format!("{SID}{:025x}", fastrand::u128(..) >> 28);
        let (kind, target) = (self.kind(Kind::Proxy, Kind::PoolProxy), self.path("proxy"));
        let body = self.poll(&sid);
        let reply = if self.habit == Habit::Leaving {
            let after = Duration::from_millis(fastrand::u64(100..4_000));
            self.caller
                .send_and_leave(kind, &target, body, polled, after)
                .await
        } else {
            self.caller.send(kind, &target, body, polled).await
        };
        let Some(reply) = reply else {
            return 1_000..2_000;
        };
        if self.habit == Habit::Stray {
            let stray = format!("{SID}{:025x}", 0);
            self.answer(&stray, 0).await;
        }
        match polled(kind, &reply) {
            "matched" => self.serve(&sid, kind, &reply).await,
            "idle" => 300..900,
            // It is over a limit, or not wanted.
            _ => 4_000..8_000,
        }
    }

    async fn serve(&mut self, sid: &str, kind: Kind, reply: &Reply) -> Range<u64> {
        let offer = reply.json["Offer"].as_str().unwrap_or_default();
        let Some(tag) = self.world.messages.tag_of(offer) else {
            self.world.tally.add(kind, Fate::Wrong);
            return 1_000..2_000;
        };
        let gathering = match self.habit {
            Habit::Mute => return 1_000..3_000,
            Habit::Late => 3_500..5_000,
            _ => 100..800,
        };
        // An answer is given also when the load ends.
        self.world.pause(gathering).await;
        if self.habit == Habit::Malformed {
            self.send_answer("a=candidate".into()).await;
        }
        self.answer(sid, tag).await;
        if self.habit == Habit::Double {
            self.answer(sid, tag).await;
        }
        300..1_500
    }

    fn poll(&self, sid: &str) -> Bytes {
        let nat = ["unrestricted", "unrestricted", "restricted"][usize::from(self.number % 3)];
        let types = ["standalone", "webext", "iptproxy"];
        let proxy_type = types[usize::from(self.number % 7 % 3)];
        let poll = Messages::proxy_poll(sid, ProxyKind { proxy_type, nat });
        match self.habit {
            Habit::Malformed if fastrand::bool() => "{\"Sid\":1}".into(),
            Habit::OtherRelay => {
                let poll = String::from_utf8(poll.to_vec()).unwrap();
                assert!(poll.contains(PATTERN), "{poll}");
                poll.replace(PATTERN, "relay.example$").into()
            }
            _ => poll,
        }
    }

    async fn answer(&mut self, sid: &str, tag: u64) {
        let answer = self.world.messages.proxy_answer(sid, tag);
        self.send_answer(answer).await;
    }

    async fn send_answer(&mut self, body: Bytes) {
        let (kind, target) = (
            self.kind(Kind::Answer, Kind::PoolAnswer),
            self.path("answer"),
        );
        self.caller.send(kind, &target, body, answered).await;
    }

    fn path(&self, last: &str) -> String {
        format!("{}/{last}", self.path)
    }

    fn kind(&self, of_all: Kind, of_pool: Kind) -> Kind {
        if self.path.is_empty() {
            of_all
        } else {
            of_pool
        }
    }
}

fn polled(_: Kind, reply: &Reply) -> &'static str {
    match reply.json["Status"].as_str() {
        Some("client match") => "matched",
        Some("no match") => "idle",
        _ => "refused",
    }
}

fn answered(_: Kind, reply: &Reply) -> &'static str {
    match reply.json["Status"].as_str() {
        Some("success") => "delivered",
        Some(_) => "gone",
        None => "refused",
    }
}

//! The requests that clients and proxies sent, and the outcomes that they saw, for
//! comparison with the broker's counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::requests::Reply;
use crate::workload::Way;

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Proxy,
    Client(Way),
    Answer,
}

impl Kind {
    /// The kind's name, the same for all clients of a rendezvous method.
    fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Client(Way::Today | Way::Legacy) => "http",
            Self::Client(Way::Amp) => "ampcache",
            Self::Answer => "answer",
        }
    }
}

/// Counts by kind and outcome. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<(&'static str, &'static str), u64>>>);

impl Tally {
    pub(crate) fn came(&self, kind: Kind) {
        self.add(kind, "came");
    }

    pub(crate) fn replied(&self, kind: Kind, reply: &Reply) {
        self.add(kind, "replied");
        self.add(kind, outcome(kind, reply));
        if is_over_limit(kind, reply) {
            self.add(kind, "over limit");
        }
    }

    /// The number of requests of a kind with this outcome.
    pub(crate) fn count(&self, kind: &'static str, outcome: &'static str) -> u64 {
        let counts = self.0.lock().unwrap();
        counts.get(&(kind, outcome)).copied().unwrap_or_default()
    }

    fn add(&self, kind: Kind, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap();
        *counts.entry((kind.word(), outcome)).or_default() += 1;
    }
}

/// The outcome in the terms of the metrics.
fn outcome(kind: Kind, reply: &Reply) -> &'static str {
    match kind {
        Kind::Proxy | Kind::Answer if reply.status != 200 => "refused",
        Kind::Proxy => {
            let poll = reply.json();
            match poll["Status"].as_str().unwrap() {
                "client match" => "matched",
                "incorrect relay pattern" | "polled too soon" => "refused",
                // The proxy was told a longer interval, because too many polls are
                // parked.
                "no match" if poll["NextPoll"] == 120_000 => "refused",
                _ => "idle",
            }
        }
        Kind::Answer if reply.json()["Status"] == "success" => "delivered",
        Kind::Answer => "gone",
        Kind::Client(Way::Legacy) => match reply.status.as_u16() {
            200 => "matched",
            503 => "denied",
            504 => "timed_out",
            _ => "refused",
        },
        Kind::Client(Way::Today) => response(&reply.json()),
        Kind::Client(Way::Amp) => response(&armored(&reply.body)),
    }
}

fn is_over_limit(kind: Kind, reply: &Reply) -> bool {
    const SLOW_DOWN: &str = "too many requests, slow down";
    match kind {
        _ if reply.status != 200 => reply.status == 429,
        Kind::Proxy => reply.json()["Status"] == "polled too soon",
        Kind::Client(Way::Today) => reply.json()["error"] == SLOW_DOWN,
        Kind::Client(Way::Amp) => armored(&reply.body)["error"] == SLOW_DOWN,
        Kind::Client(Way::Legacy) | Kind::Answer => false,
    }
}

fn response(response: &Value) -> &'static str {
    match response["error"].as_str() {
        None => "matched",
        Some("no snowflake proxies currently available") => "denied",
        Some("timed out waiting for answer!") => "timed_out",
        Some(_) => "refused",
    }
}

fn armored(page: &str) -> Value {
    let (_, text) = page.split_once("<pre>").unwrap();
    let (text, _) = text.split_once("</pre>").unwrap();
    let text: String = text.split_whitespace().collect();
    let json = STANDARD.decode(text.strip_prefix('0').unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

//! A's counts against those of the load, and against each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::tally::{Fate, Kind, Tally};
use crate::support::exposition::Exposition;

/// The counts of a kind of request, and what the load says of them.
struct Book {
    name: &'static str,
    kind: Kind,
    /// The counter of outcomes, and the labels of its series.
    family: &'static str,
    labels: &'static [(&'static str, &'static str)],
    /// The outcomes, each of those in the metrics that senders cannot tell apart.
    outcomes: &'static [(&'static str, &'static [&'static str])],
    /// The outcomes that a request without its end may have.
    of_unfinished: &'static [&'static str],
}

const CLIENT_OUTCOMES: &[(&str, &[&str])] = &[
    ("matched", &["matched"]),
    ("denied", &["denied"]),
    ("timed_out", &["timed_out"]),
    ("refused", &["refused"]),
    ("abandoned", &["abandoned"]),
];
const POLL_OUTCOMES: &[(&str, &[&str])] = &[
    ("matched", &["matched"]),
    ("idle", &["idle"]),
    ("refused", &["refused"]),
    ("abandoned", &["abandoned"]),
];
const ANSWER_OUTCOMES: &[(&str, &[&str])] = &[
    ("delivered", &["delivered"]),
    (
        "gone",
        &["beaten", "client_left", "repeated", "too_late", "unknown"],
    ),
    ("refused", &["refused"]),
    ("declined", &["declined"]),
];
const CUT: &[&str] = &["refused", "abandoned"];

const BOOKS: [Book; 6] = [
    Book {
        name: "client polls over HTTP",
        kind: Kind::Client,
        family: "snowflake_broker_client_polls_total",
        labels: &[("rendezvous", "http")],
        outcomes: CLIENT_OUTCOMES,
        of_unfinished: CUT,
    },
    Book {
        name: "client polls by AMP",
        kind: Kind::AmpClient,
        family: "snowflake_broker_client_polls_total",
        labels: &[("rendezvous", "ampcache")],
        outcomes: CLIENT_OUTCOMES,
        of_unfinished: CUT,
    },
    Book {
        name: "proxy polls",
        kind: Kind::Proxy,
        family: "snowflake_broker_proxy_polls_total",
        labels: &[],
        outcomes: POLL_OUTCOMES,
        of_unfinished: CUT,
    },
    Book {
        name: "proxy answers",
        kind: Kind::Answer,
        family: "snowflake_broker_proxy_answers_total",
        labels: &[],
        outcomes: ANSWER_OUTCOMES,
        of_unfinished: CUT,
    },
    Book {
        name: "client polls of a private pool",
        kind: Kind::PoolClient,
        family: "snowflake_broker_private_pool_client_polls_total",
        labels: &[("private_pool", "family")],
        outcomes: CLIENT_OUTCOMES,
        of_unfinished: CUT,
    },
    Book {
        name: "proxy polls of a private pool",
        kind: Kind::PoolProxy,
        family: "snowflake_broker_private_pool_proxy_polls_total",
        labels: &[("private_pool", "family")],
        outcomes: POLL_OUTCOMES,
        of_unfinished: CUT,
    },
];

/// A comparison: the text says what was counted and what it has to be.
pub(crate) struct Balance {
    pub(crate) is_good: bool,
    pub(crate) text: String,
}

/// Compares A's page with the requests that the load sent: each count has to be that of the
/// replies, but for the requests without a reply.
pub(crate) fn against_load(page: &Exposition, tally: &Tally) -> Vec<Balance> {
    BOOKS.iter().map(|book| book.compare(page, tally)).collect()
}

impl Book {
    fn compare(&self, page: &Exposition, tally: &Tally) -> Balance {
        let mut balance = Balance {
            is_good: true,
            text: format!("{}:", self.name),
        };
        let left = tally.count(self.kind, Fate::Left) + tally.count(self.kind, Fate::Lost);
        let unfinished = tally.count(self.kind, Fate::Unfinished);
        for (outcome, in_metrics) in self.outcomes {
            let counted: u64 = in_metrics.iter().map(|label| self.count(page, label)).sum();
            let known = tally.count(self.kind, Fate::Known(outcome));
            let cut = if self.of_unfinished.contains(outcome) {
                unfinished
            } else {
                0
            };
            balance.check(outcome, counted, known..=known + left + cut);
        }
        let all = sum(page, self.family, self.labels);
        let known = tally.replied(self.kind);
        balance.check("all", all, known..=known + left + unfinished);
        balance
    }

    fn count(&self, page: &Exposition, outcome: &str) -> u64 {
        sum(
            page,
            self.family,
            &[self.labels, &[("outcome", outcome)]].concat(),
        )
    }
}

/// The sum of series, which a private pool has only once they count something.
fn sum(page: &Exposition, name: &str, labels: &[(&str, &str)]) -> u64 {
    let has = |of: &BTreeMap<String, String>, (label, value): &(&str, &str)| {
        of.get(*label).is_some_and(|of| of == value)
    };
    let is_there = page
        .samples()
        .any(|sample| sample.name == name && labels.iter().all(|label| has(&sample.labels, label)));
    if is_there { page.sum(name, labels) } else { 0 }
}

impl Balance {
    fn check(&mut self, what: &str, counted: u64, seen: RangeInclusive<u64>) {
        let is_good = seen.contains(&counted);
        self.is_good &= is_good;
        // Writing to a string cannot fail.
        let _written = write!(self.text, " {what} {counted}");
        if !is_good || seen.start() != seen.end() {
            let wrong = if is_good { "" } else { ", WRONG" };
            let _written = write!(self.text, " ({} to {}{wrong})", seen.start(), seen.end());
        }
        self.text.push(';');
    }
}

/// Counts that have to agree with others, when nothing is in progress.
pub(crate) fn identities(page: &Exposition, are_people_gone: bool) -> Balance {
    let counts = Counts(page);
    let mut balance = Balance {
        is_good: true,
        text: "A's counts agree with each other:".to_owned(),
    };
    let mut same = |what: &str, one: u64, other: u64| balance.check(what, one, other..=other);
    for way in ["http", "ampcache"] {
        let by = [("rendezvous", way)];
        let ended = counts.sum("client_polls_total", &by);
        same(
            "clients received",
            counts.sum("client_polls_received_total", &by),
            ended,
        );
    }
    let ended = counts.sum("proxy_polls_total", &[]);
    same(
        "polls received",
        counts.sum("proxy_polls_received_total", &[]),
        ended,
    );
    for (request, family) in [
        ("client_poll", "client_polls_total"),
        ("proxy_poll", "proxy_polls_total"),
        ("proxy_answer", "proxy_answers_total"),
    ] {
        let refusals = counts.sum("refusals_total", &[("request", request)]);
        same("refusals", refusals, counts.of(family, &["refused"]));
    }
    let matched = counts.of("client_polls_total", &["matched"]);
    same(
        "attempts",
        counts.sum("attempts_per_answer_count", &[]),
        matched,
    );
    same(
        "times until answers",
        counts.sum("request_to_answer_seconds_count", &[]),
        matched,
    );
    let second = counts.of("proxy_answers_total", &["beaten", "repeated"]);
    same(
        "second answers",
        counts.sum("second_answers_total", &[]),
        second,
    );
    if are_people_gone {
        let had = ["worked", "failed", "unknown"];
        let results = counts.of("match_outcomes_by_rendezvous_total", &had);
        same("worked, failed or unknown", results, matched);
        let by_type = counts.of("match_outcomes_by_type_total", &had);
        same("by type", by_type, counts.of("match_outcomes_total", &had));
        same(
            "episodes",
            counts.sum("episodes_total", &[]),
            counts.sum("episodes_begun_total", &[]),
        );
    }
    counts.compare_answers(&mut balance, matched);
    balance
}

/// The broker's own counts.
struct Counts<'a>(&'a Exposition);

impl Counts<'_> {
    /// Compares the answers of A's proxies with the clients who got them. A client may leave, or
    /// its broker end, while its answer is on the way.
    fn compare_answers(&self, balance: &mut Balance, matched: u64) {
        let elsewhere = self.of("peer_borrowed_total", &["answered"])
            + self.of("node_offers_sent_total", &["answered"]);
        let of_others = ["peer_lent_total", "node_offers_received_total"];
        let answered = of_others.map(|family| self.of(family, &["answered"]));
        let all = of_others.map(|family| self.sum(family, &[]));
        let abandoned = self.of("client_polls_total", &["abandoned"]);
        let least = matched - elsewhere + answered.iter().sum::<u64>();
        let most = matched - elsewhere + all.iter().sum::<u64>() + abandoned;
        let delivered = self.of("proxy_answers_total", &["delivered"]);
        balance.check("answers delivered", delivered, least..=most);
        let late = ["beaten", "client_left", "too_late"];
        let answers = delivered + self.of("proxy_answers_total", &late);
        let offers = self.of("proxy_polls_total", &["matched"]);
        balance.check("first answers", answers, 0..=offers);
    }

    /// The sum of the series with these labels.
    fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        self.0.sum(&format!("snowflake_broker_{family}"), labels)
    }

    /// The sum of the series with these outcomes.
    fn of(&self, family: &str, outcomes: &[&str]) -> u64 {
        let outcomes = outcomes.iter();
        outcomes
            .map(|outcome| self.sum(family, &[("outcome", outcome)]))
            .sum()
    }
}

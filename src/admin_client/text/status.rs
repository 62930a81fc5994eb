//! The status of a broker, as a page and as a line.

use crate::proto::admin::v1::broker_status::State;
use crate::proto::admin::v1::{BrokerStatus, LatencyQuantiles, Pool, RecentActivity};

use super::figures::{between, percent, pool, rate, seconds, span, time, written};
use super::table::TextTable;
use crate::causes::one_line;

/// The pools, in the order in which they are shown.
pub(super) const POOLS: [Pool; 3] = [Pool::Open, Pool::Moderate, Pool::Strict];

/// The whole status.
pub(in crate::admin_client) fn status(status: &BrokerStatus) -> String {
    format!(
        "{}\n{}\n{}\n{}",
        about(status),
        pools(status),
        parked_by_type(status),
        recent(status)
    )
}

/// The most important part of the status in one line, for a log.
pub(in crate::admin_client) fn line(status: &BrokerStatus) -> String {
    let minute = status.recent.first().copied().unwrap_or_default();
    let proxies = minute.proxy_polls.unwrap_or_default();
    let clients = minute.client_polls.unwrap_or_default();
    format!(
        "{} {} parked {} queued {} matched {} proxy-polls/s {} ({} matched) client-polls/s {} ({} matched)\n",
        time(status.observe_time),
        state(status),
        POOLS.map(|pool| parked(status, pool)).iter().sum::<i64>(),
        POOLS.map(|pool| queued(status, pool)).iter().sum::<i64>(),
        status.matched_clients,
        rate(minute.proxy_polls_per_second),
        percent(proxies.matched),
        rate(minute.client_polls_per_second),
        percent(clients.matched),
    )
}

/// The state of the broker, in words.
pub(super) fn state(status: &BrokerStatus) -> &'static str {
    match status.state() {
        State::Serving => "serving",
        State::LameDuck => "draining, still matching",
        State::Draining => "draining",
        State::Unspecified => "in no known state",
    }
}

/// The version and the uptime.
pub(super) fn version_and_uptime(status: &BrokerStatus) -> (String, String) {
    let uptime = between(status.start_time, status.observe_time).map(written);
    (one_line(&status.version), uptime.unwrap_or_default())
}

/// The versions of this program and of the broker.
pub(in crate::admin_client) fn versions(ours: &str, status: &BrokerStatus) -> String {
    let mut table = TextTable::of_words();
    table.row(["program", ours]);
    table.row(["broker", &one_line(&status.version)]);
    table.to_string()
}

/// The number of polls parked in a pool.
pub(super) fn parked(status: &BrokerStatus, pool: Pool) -> i64 {
    let of_pool = status.parked.iter().filter(|parked| parked.pool() == pool);
    of_pool.map(|parked| parked.count).sum()
}

/// The number of waiting clients of a class.
pub(super) fn queued(status: &BrokerStatus, pool: Pool) -> i64 {
    let of_pool = status.queued.iter().filter(|queued| queued.pool() == pool);
    of_pool.map(|queued| queued.count).sum()
}

fn about(status: &BrokerStatus) -> TextTable {
    let mut table = TextTable::of_words();
    let (version, uptime) = version_and_uptime(status);
    table.row(["version", &version]);
    table.row(["state", state(status)]);
    let start = time(status.start_time);
    table.row(["running", &format!("{uptime}, since {start}")]);
    table.row(["connections", &status.open_connections.to_string()]);
    table.row(["matched", &format!("{} clients", status.matched_clients)]);
    if let Some(end) = status.certificate_expire_time {
        let left = between(status.observe_time, Some(end)).map_or_else(
            || "over".to_owned(),
            |left| format!("{} left", written(left)),
        );
        let end = time(Some(end));
        table.row(["certificate", &format!("until {end}, {left}")]);
    }
    table
}

fn pools(status: &BrokerStatus) -> TextTable {
    let mut table = TextTable::of_figures(1);
    table.row(["pool", "parked", "queued", "next poll"]);
    for of in POOLS {
        let intervals = &status.poll_intervals;
        let interval = intervals.iter().find(|interval| interval.pool() == of);
        table.row([
            pool(of),
            &parked(status, of).to_string(),
            &queued(status, of).to_string(),
            &span(interval.and_then(|interval| interval.interval)),
        ]);
    }
    table
}

fn parked_by_type(status: &BrokerStatus) -> TextTable {
    let mut counts: Vec<_> = status.parked.iter().collect();
    counts.sort_by_key(|parked| (-parked.count, &parked.r#type, &parked.nat));
    let mut table = TextTable::of_figures(2);
    table.row(["type", "nat", "parked"]);
    for parked in counts {
        table.row([&parked.r#type, &parked.nat, &parked.count.to_string()]);
    }
    table
}

/// A column for each time span.
fn recent(status: &BrokerStatus) -> TextTable {
    let mut table = TextTable::of_figures(1);
    let mut row = |what: &str, figure: &dyn Fn(&RecentActivity) -> String| {
        let figures = status.recent.iter().map(figure);
        table.row(std::iter::once(what.to_owned()).chain(figures));
    };
    row("", &covered);
    row("proxy polls/s", &|recent| {
        rate(recent.proxy_polls_per_second)
    });
    for (what, share) in PROXY_SHARES {
        row(&format!("  {what}"), &|recent| percent(share(recent)));
    }
    row("client polls/s", &|recent| {
        rate(recent.client_polls_per_second)
    });
    for (what, share) in CLIENT_SHARES {
        row(&format!("  {what}"), &|recent| percent(share(recent)));
    }
    for (what, latency) in LATENCIES {
        row(&format!("{what}, half within"), &|recent| {
            seconds(latency(recent).p50)
        });
        row("  90 % within", &|recent| seconds(latency(recent).p90));
        row("  99 % within", &|recent| seconds(latency(recent).p99));
    }
    table
}

/// The span, or a note that the broker has not run for that long.
fn covered(recent: &RecentActivity) -> String {
    let seconds = |span: Option<prost_types::Duration>| span.map_or(0, |span| span.seconds);
    if seconds(recent.covered) < seconds(recent.span) {
        return "since start".to_owned();
    }
    format!("last {}", span(recent.span))
}

/// A share and its name.
pub(super) type Share = (&'static str, fn(&RecentActivity) -> f64);
/// A latency and its name.
pub(super) type Latency = (&'static str, fn(&RecentActivity) -> LatencyQuantiles);

/// The outcomes of proxy polls.
pub(super) const PROXY_SHARES: [Share; 4] = [
    ("matched", |recent| {
        recent.proxy_polls.unwrap_or_default().matched
    }),
    ("idle", |recent| recent.proxy_polls.unwrap_or_default().idle),
    ("refused", |recent| {
        recent.proxy_polls.unwrap_or_default().refused
    }),
    ("abandoned", |recent| {
        recent.proxy_polls.unwrap_or_default().abandoned
    }),
];

/// The outcomes of client polls.
pub(super) const CLIENT_SHARES: [Share; 5] = [
    ("matched", |recent| {
        recent.client_polls.unwrap_or_default().matched
    }),
    ("timed out", |recent| {
        recent.client_polls.unwrap_or_default().timed_out
    }),
    ("denied", |recent| {
        recent.client_polls.unwrap_or_default().denied
    }),
    ("refused", |recent| {
        recent.client_polls.unwrap_or_default().refused
    }),
    ("abandoned", |recent| {
        recent.client_polls.unwrap_or_default().abandoned
    }),
];

/// The latencies to show.
pub(super) const LATENCIES: [Latency; 2] = [
    ("request to answer", |recent| {
        recent.request_to_answer.unwrap_or_default()
    }),
    ("hand-off to answer", |recent| {
        recent.hand_off_to_answer.unwrap_or_default()
    }),
];

/// A status for tests.
#[cfg(test)]
pub(super) fn example() -> BrokerStatus {
    use crate::proto::admin::v1::{ParkedCount, PoolInterval, ProxyPollShares, QueuedCount};
    use prost_types::{Duration, Timestamp};

    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let lasting = |seconds| Some(Duration { seconds, nanos: 0 });
    let parked = |kind: &str, nat: &str, pool: Pool, count| ParkedCount {
        r#type: kind.to_owned(),
        nat: nat.to_owned(),
        pool: pool.into(),
        count,
    };
    let recent = |span, rate| RecentActivity {
        span: lasting(span),
        covered: lasting(span),
        proxy_polls_per_second: rate,
        client_polls_per_second: rate / 4.0,
        proxy_polls: Some(ProxyPollShares {
            count: 100,
            matched: 0.25,
            idle: 0.7,
            refused: 0.05,
            abandoned: 0.0,
        }),
        request_to_answer: Some(LatencyQuantiles {
            count: 25,
            p50: lasting(1),
            p90: lasting(2),
            p99: lasting(3),
        }),
        ..RecentActivity::default()
    };
    BrokerStatus {
        version: "0.2.0".to_owned(),
        start_time: at(1_790_812_800),
        observe_time: at(1_790_820_000),
        state: State::Serving.into(),
        parked: vec![
            parked("webext", "restricted", Pool::Strict, 900),
            parked("standalone", "unrestricted", Pool::Open, 60),
            parked("webext", "unrestricted", Pool::Open, 40),
        ],
        queued: vec![QueuedCount {
            pool: Pool::Strict.into(),
            count: 3,
        }],
        matched_clients: 12,
        recent: vec![recent(60, 50.0), recent(300, 45.5), recent(3600, 40.0)],
        open_connections: 1_015,
        poll_intervals: POOLS
            .map(|pool| PoolInterval {
                pool: pool.into(),
                interval: lasting(20),
            })
            .into(),
        certificate_expire_time: at(1_790_820_000 + 30 * 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page() {
        let expected = "\
version      0.2.0
state        serving
running      2h, since 2026-10-01T00:00:00Z
connections  1015
matched      12 clients
certificate  until 2026-10-31T02:00:00Z, 30days left

pool      parked  queued  next poll
open         100       0        20s
moderate       0       0        20s
strict       900       3        20s

type        nat           parked
webext      restricted       900
standalone  unrestricted      60
webext      unrestricted      40

                                 last 1m  last 5m  last 1h
proxy polls/s                       50.0     45.5     40.0
  matched                         25.0 %   25.0 %   25.0 %
  idle                            70.0 %   70.0 %   70.0 %
  refused                          5.0 %    5.0 %    5.0 %
  abandoned                        0.0 %    0.0 %    0.0 %
client polls/s                      12.5     11.4     10.0
  matched                          0.0 %    0.0 %    0.0 %
  timed out                        0.0 %    0.0 %    0.0 %
  denied                           0.0 %    0.0 %    0.0 %
  refused                          0.0 %    0.0 %    0.0 %
  abandoned                        0.0 %    0.0 %    0.0 %
request to answer, half within    1.00 s   1.00 s   1.00 s
  90 % within                     2.00 s   2.00 s   2.00 s
  99 % within                     3.00 s   3.00 s   3.00 s
hand-off to answer, half within        -        -        -
  90 % within                          -        -        -
  99 % within                          -        -        -
";
        assert_eq!(status(&example()), expected);
    }

    #[test]
    fn the_line() {
        assert_eq!(
            line(&example()),
            "2026-10-01T02:00:00Z serving parked 1000 queued 3 matched 12 \
             proxy-polls/s 50.0 (25.0 % matched) client-polls/s 12.5 (0.0 % matched)\n"
        );
    }

    #[test]
    fn an_empty_status_is_shown_too() {
        let nothing = status(&BrokerStatus::default());
        assert!(nothing.contains("in no known state"), "{nothing}");
        assert!(line(&BrokerStatus::default()).contains("parked 0"));
    }
}

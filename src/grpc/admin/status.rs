//! The status of the broker, once or as a stream.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::Stream;
use tokio_stream::wrappers::IntervalStream;
use tonic::Status;

use crate::broker::{Broker, clock};
use crate::grpc::convert::{count, duration, pool, timestamp, total};
use crate::grpc::violations::span_within;
use crate::listener::Closing;
use crate::matching::ServiceStage;
use crate::metrics::GaugeSnapshot;
use crate::metrics::labels::{ClientOutcome, PollOutcome};
use crate::metrics::latencies::Latencies;
use crate::metrics::recent::{RecentActivity, Totals};
use crate::proto::admin::v1;
use crate::wire::nat::NatClass;

/// The spans over which rates and shares are reported.
const SPANS: [Duration; 3] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_hours(1),
];
/// The default interval of a stream.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// The bounds of a stream's interval.
const WATCH_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);

/// The current status of the broker.
pub(super) fn status(broker: &Broker) -> v1::BrokerStatus {
    let now = clock::now();
    let metrics = broker.metrics();
    let waiting = broker.control().waiting();
    v1::BrokerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        start_time: Some(timestamp(metrics.start())),
        observe_time: Some(timestamp(clock::wall_clock())),
        state: state(broker).into(),
        parked: parked(&waiting),
        queued: NatClass::ALL.map(|class| queued(class, &waiting)).into(),
        matched_clients: count(waiting.matched),
        recent: SPANS
            .map(|span| recent(span, &metrics.activity(now, span)))
            .into(),
        open_connections: metrics.open_connections(),
        poll_intervals: poll_intervals(&waiting),
        certificate_expire_time: metrics.certificate_expiry().map(timestamp),
    }
}

/// A stream of the broker's status, now and at every interval, until `closing` is
/// cancelled. A status is made when the caller is ready for it, so none is outdated.
pub(super) fn watch(
    broker: Arc<Broker>,
    asked: Option<prost_types::Duration>,
    closing: Closing,
) -> Result<impl Stream<Item = Result<v1::BrokerStatus, Status>> + Send, Status> {
    let watch_interval = match asked {
        Some(asked) => span_within("interval", asked, &WATCH_INTERVALS)?,
        None => DEFAULT_INTERVAL,
    };
    let mut ticks = interval(watch_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let statuses = IntervalStream::new(ticks).map(move |_| Ok(status(&broker)));
    Ok(statuses.take_until(closing.ended()))
}

fn state(broker: &Broker) -> v1::broker_status::State {
    match broker.stage() {
        ServiceStage::Serving => v1::broker_status::State::Serving,
        ServiceStage::LameDuck => v1::broker_status::State::LameDuck,
        ServiceStage::Draining => v1::broker_status::State::Draining,
    }
}

fn parked(waiting: &GaugeSnapshot) -> Vec<v1::ParkedCount> {
    let parked = waiting.parked.iter();
    parked
        .map(|(proxy_type, nat, polls)| v1::ParkedCount {
            r#type: proxy_type.to_string(),
            nat: nat.to_string(),
            pool: pool(NatClass::of(*nat)).into(),
            count: count(*polls),
        })
        .collect()
}

fn queued(class: NatClass, waiting: &GaugeSnapshot) -> v1::QueuedCount {
    let of_class = waiting.queued.iter().find(|(other, _)| *other == class);
    v1::QueuedCount {
        pool: pool(class).into(),
        count: of_class.map_or(0, |(_, clients)| count(*clients)),
    }
}

fn poll_intervals(waiting: &GaugeSnapshot) -> Vec<v1::PoolInterval> {
    let intervals = waiting.poll_intervals.iter();
    intervals
        .map(|&(class, interval)| v1::PoolInterval {
            pool: pool(class).into(),
            interval: Some(duration(interval)),
        })
        .collect()
}

fn recent(span: Duration, activity: &RecentActivity) -> v1::RecentActivity {
    let counts = &activity.counts;
    v1::RecentActivity {
        span: Some(duration(span)),
        covered: Some(duration(activity.covered)),
        proxy_polls_per_second: rate(counts.proxy_polls, activity.covered),
        client_polls_per_second: rate(counts.client_polls, activity.covered),
        proxy_polls: Some(proxy_polls(counts)),
        client_polls: Some(client_polls(counts)),
        request_to_answer: Some(quantiles(&counts.request_to_answer)),
        hand_off_to_answer: Some(quantiles(&counts.hand_off_to_answer)),
    }
}

fn proxy_polls(counts: &Totals) -> v1::ProxyPollShares {
    let all = counts.proxy_outcomes.iter().sum();
    let share = |outcome| share(counts.proxy_outcomes[outcome as usize], all);
    v1::ProxyPollShares {
        count: total(all),
        matched: share(PollOutcome::Matched),
        idle: share(PollOutcome::Idle),
        refused: share(PollOutcome::Refused),
        abandoned: share(PollOutcome::Abandoned),
    }
}

fn client_polls(counts: &Totals) -> v1::ClientPollShares {
    let all = counts.client_outcomes.iter().sum();
    let share = |outcome| share(counts.client_outcomes[outcome as usize], all);
    v1::ClientPollShares {
        count: total(all),
        matched: share(ClientOutcome::Matched),
        timed_out: share(ClientOutcome::TimedOut),
        denied: share(ClientOutcome::Denied),
        refused: share(ClientOutcome::Refused),
        abandoned: share(ClientOutcome::Abandoned),
    }
}

fn quantiles(latencies: &Latencies) -> v1::LatencyQuantiles {
    let quantile = |share| latencies.quantile(share).map(duration);
    v1::LatencyQuantiles {
        count: total(latencies.count()),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
    }
}

fn rate(count: u64, span: Duration) -> f64 {
    if span.is_zero() {
        return 0.0;
    }
    as_f64(count) / span.as_secs_f64()
}

fn share(count: u64, all: u64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    as_f64(count) / as_f64(all)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no broker counts to 2^53 within an hour"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

//! Poll intervals and relay patterns, set while the broker runs.

use std::time::Duration;

use tonic::Status;

use super::bridges;
use super::operations::Overrides;
use crate::broker::{Broker, Knowledge, PollInterval};
use crate::grpc::convert::duration;
use crate::grpc::update::Update;
use crate::proto::admin::v1;
use crate::wire::relay_pattern::RelayPattern;

/// Proxies are to poll neither without pause nor never again.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(24);

/// Changes poll intervals; answers all of them, and what has changed.
pub(super) fn set_poll_intervals(
    broker: &Broker,
    asked: &v1::SetPollIntervalsRequest,
) -> Result<(v1::PollIntervals, Overrides), Status> {
    let fields = ["open", "moderate", "strict", "refused", "overloaded"];
    let sent = asked.poll_intervals.unwrap_or_default();
    let mut update = Update::new("poll_intervals", &fields, asked.update_mask.as_ref());
    let open = update.field("open", sent.open, interval);
    let moderate = update.field("moderate", sent.moderate, interval);
    let strict = update.field("strict", sent.strict, interval);
    let refused = update.field("refused", sent.refused, interval);
    let overloaded = update.field("overloaded", sent.overloaded, interval);
    update.finish()?;

    let changed = |before: &PollInterval| PollInterval {
        open: open.unwrap_or(before.open),
        moderate: moderate.unwrap_or(before.moderate),
        strict: strict.unwrap_or(before.strict),
        refused: refused.unwrap_or(before.refused),
        overloaded: overloaded.unwrap_or(before.overloaded),
        ..before.clone()
    };
    let after = changed(&broker.knowledge().poll_interval);
    if !asked.validate_only {
        let change = |knowledge: &mut Knowledge| {
            knowledge.poll_interval = changed(&knowledge.poll_interval);
        };
        broker.update_knowledge(change);
    }
    let overrides = [
        ("poll_interval.open", open),
        ("poll_interval.moderate", moderate),
        ("poll_interval.strict", strict),
        ("poll_interval.refused", refused),
        ("poll_interval.overloaded", overloaded),
    ];
    let written = |(key, value): (_, Option<Duration>)| {
        Some((key, format!("\"{}\"", humantime::format_duration(value?))))
    };
    let overrides = overrides.into_iter().filter_map(written).collect();
    Ok((poll_intervals(&after), overrides))
}

fn interval(asked: prost_types::Duration) -> Result<Duration, String> {
    Duration::try_from(asked)
        .ok()
        .filter(|interval| (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(interval))
        .ok_or_else(|| "has to be from 1 s to 24 h".to_owned())
}

fn poll_intervals(intervals: &PollInterval) -> v1::PollIntervals {
    v1::PollIntervals {
        open: Some(duration(intervals.open)),
        moderate: Some(duration(intervals.moderate)),
        strict: Some(duration(intervals.strict)),
        refused: Some(duration(intervals.refused)),
        overloaded: Some(duration(intervals.overloaded)),
    }
}

/// Changes relay patterns; answers both of them, and what has changed.
pub(super) fn set_relay_policy(
    broker: &Broker,
    asked: &v1::SetRelayPolicyRequest,
) -> Result<(v1::RelayPolicy, Overrides), Status> {
    let fields = ["allowed_relay_pattern", "default_relay_pattern"];
    let sent = asked.relay_policy.clone().unwrap_or_default();
    let mut update = Update::new("relay_policy", &fields, asked.update_mask.as_ref());
    let allowed = update.field("allowed_relay_pattern", sent.allowed_relay_pattern, pattern);
    let default = update.field("default_relay_pattern", sent.default_relay_pattern, pattern);
    update.finish()?;

    let change = |knowledge: &mut Knowledge| {
        if let Some(allowed) = &allowed {
            knowledge.allowed_relay_pattern = RelayPattern::from(&**allowed);
        }
        if let Some(default) = &default {
            knowledge.default_relay_pattern = RelayPattern::from(&**default);
        }
    };
    let mut after = Knowledge::clone(&broker.knowledge());
    change(&mut after);
    if !asked.validate_only {
        broker.update_knowledge(change);
    }
    let overrides = [
        ("broker.allowed_relay_pattern", &allowed),
        ("broker.default_relay_pattern", &default),
    ];
    let written =
        |(key, value): (_, &Option<String>)| Some((key, format!("{:?}", value.as_ref()?)));
    let overrides = overrides.into_iter().filter_map(written).collect();
    Ok((relay_policy(&after), overrides))
}

fn pattern(asked: String) -> Result<String, String> {
    match RelayPattern::checked(&asked) {
        Ok(_) => Ok(asked),
        Err(error) => Err(error.to_string()),
    }
}

fn relay_policy(knowledge: &Knowledge) -> v1::RelayPolicy {
    v1::RelayPolicy {
        allowed_relay_pattern: Some(knowledge.allowed_relay_pattern.to_string()),
        default_relay_pattern: Some(knowledge.default_relay_pattern.to_string()),
        warnings: bridges::warnings(&knowledge.bridges, knowledge),
    }
}

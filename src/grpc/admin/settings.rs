//! Changes of poll intervals and relay patterns at runtime.

use tonic::Status;

use super::bridges;
use super::operations::Overrides;
use crate::broker::{Broker, Directory, PollInterval, SERVES_EVERY_RELAY, Settings};
use crate::grpc::convert::duration;
use crate::grpc::update::{Update, all};
use crate::grpc::violations::read_span;
use crate::proto::admin::v1;
use crate::wire::relay_pattern::RelayPattern;

const INTERVALS: [&str; 5] = ["open", "moderate", "strict", "refused", "overloaded"];
const PATTERNS: [&str; 2] = ["allowed_relay_pattern", "default_relay_pattern"];

/// Changes poll intervals. Returns all of them and what changed.
pub(super) fn set_poll_intervals(
    broker: &Broker,
    asked: &v1::SetPollIntervalsRequest,
) -> Result<(v1::PollIntervals, Overrides), Status> {
    let mut after = broker.directory().poll_interval.clone();
    let overrides = change_intervals(&mut after, asked)?;
    if !asked.validate_only {
        broker.control().update_directory(|directory| {
            drop(change_intervals(&mut directory.poll_interval, asked));
        });
    }
    Ok((poll_intervals(&after), overrides))
}

fn change_intervals(
    intervals: &mut PollInterval,
    asked: &v1::SetPollIntervalsRequest,
) -> Result<Overrides, Status> {
    let sent = asked.poll_intervals.unwrap_or_default();
    let mut update = Update::new("poll_intervals", &INTERVALS, asked.update_mask.as_ref());
    update.set("open", sent.open, read_span, &mut intervals.open);
    update.set(
        "moderate",
        sent.moderate,
        read_span,
        &mut intervals.moderate,
    );
    update.set("strict", sent.strict, read_span, &mut intervals.strict);
    update.set("refused", sent.refused, read_span, &mut intervals.refused);
    let overloaded = &mut intervals.overloaded;
    update.set("overloaded", sent.overloaded, read_span, overloaded);
    update.finish("poll_interval", intervals, PollInterval::check)
}

/// The request that makes these intervals those of another node.
pub(super) fn whole_intervals(intervals: v1::PollIntervals) -> v1::SetPollIntervalsRequest {
    v1::SetPollIntervalsRequest {
        poll_intervals: Some(intervals),
        update_mask: Some(all(&INTERVALS)),
        validate_only: false,
    }
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

/// Changes relay patterns. Returns both of them and what changed.
pub(super) fn set_relay_policy(
    broker: &Broker,
    asked: &v1::SetRelayPolicyRequest,
) -> Result<(v1::RelayPolicy, Overrides), Status> {
    let mut after = Directory::clone(&broker.directory());
    let overrides = change_relay_policy(&mut after, asked)?;
    if !asked.validate_only {
        broker
            .control()
            .update_directory(|directory| drop(change_relay_policy(directory, asked)));
    }
    Ok((relay_policy(&after), overrides))
}

fn change_relay_policy(
    directory: &mut Directory,
    asked: &v1::SetRelayPolicyRequest,
) -> Result<Overrides, Status> {
    let mut settings = Settings {
        allowed_relay_pattern: directory.allowed_relay_pattern.to_string(),
        default_relay_pattern: directory
            .default_relay_pattern
            .as_ref()
            .map(ToString::to_string),
        ..Settings::default()
    };
    let [allowed, default] = PATTERNS;
    let sent = asked.relay_policy.clone().unwrap_or_default();
    let mask = asked.update_mask.as_ref();
    let mut update = Update::new("relay_policy", &[allowed, default], mask);
    let pattern = &mut settings.allowed_relay_pattern;
    update.set(allowed, sent.allowed_relay_pattern, Ok, pattern);
    let pattern = &mut settings.default_relay_pattern;
    update.set_optional(default, sent.default_relay_pattern, pattern);
    let overrides = update.finish("broker", &settings, Settings::check)?;
    directory.allowed_relay_pattern = RelayPattern::from(&*settings.allowed_relay_pattern);
    directory.default_relay_pattern = settings
        .default_relay_pattern
        .as_deref()
        .map(RelayPattern::from);
    Ok(overrides)
}

/// The request that makes these patterns those of another node.
pub(super) fn whole_relay_policy(policy: &v1::RelayPolicy) -> v1::SetRelayPolicyRequest {
    v1::SetRelayPolicyRequest {
        relay_policy: Some(policy.clone()),
        update_mask: Some(all(&PATTERNS)),
        validate_only: false,
    }
}

fn relay_policy(directory: &Directory) -> v1::RelayPolicy {
    let default = directory.default_relay_pattern.as_ref();
    let default = default.map(ToString::to_string);
    let mut warnings = bridges::warnings(&directory.bridges, directory);
    if default.as_ref().is_some_and(String::is_empty) {
        warnings.push(format!(
            "broker.default_relay_pattern: {SERVES_EVERY_RELAY}"
        ));
    }
    v1::RelayPolicy {
        allowed_relay_pattern: Some(directory.allowed_relay_pattern.to_string()),
        default_relay_pattern: default,
        warnings,
    }
}

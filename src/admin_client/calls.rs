//! The call behind each subcommand.

use std::time::Duration;

use prost_types::FieldMask;

use crate::admin_client::arguments::{
    AdminCall, IntervalArgs, LimitsArgs, LogArgs, PollsArgs, RelayArgs,
};
use crate::config::Inputs;
use crate::proto::admin::v1;

use super::connection::{AuthorizedClient, RemoteBroker, duration, mask, page_size};
use super::failure::Failure;
use super::output::{Printer, print};
use super::text::{self, DryRun};
use super::watch;
use super::{bridges, policy, pools, supply};

/// Makes the call, and prints the response. `inputs` provide the environment and the
/// local configuration.
pub(super) async fn make(
    call: &AdminCall,
    broker: &mut RemoteBroker,
    output: &Printer,
    inputs: &Inputs,
) -> Result<(), Failure> {
    match call {
        AdminCall::Status => {
            let status = broker
                .call(AuthorizedClient::get_status, v1::GetStatusRequest {})
                .await?;
            output.show(&status, text::status)
        }
        AdminCall::Watch(asked) => watch::watch(asked, broker, output, inputs).await,
        AdminCall::Polls(asked) => polls(asked, broker, output).await,
        AdminCall::Stats { text } => stats(*text, broker, output).await,
        AdminCall::Bridges(asked) => bridges::make(asked, broker, output, inputs).await,
        AdminCall::Interval(asked) => interval(asked, broker, output).await,
        AdminCall::Relay(asked) => relay(asked, broker, output).await,
        AdminCall::Limits(asked) => limits(asked, broker, output).await,
        AdminCall::Supply(asked) => supply::set(asked, broker, output).await,
        AdminCall::Sources(asked) => supply::sources(asked, broker, output).await,
        AdminCall::Policy(asked) => policy::policy(asked, broker, output).await,
        AdminCall::Explain(asked) => policy::explain(asked, broker, output).await,
        AdminCall::Impact(asked) => {
            let request = v1::GetImpactRequest {};
            let impact = broker.call(AuthorizedClient::get_impact, request).await?;
            output.show(&impact, |impact| text::impact(impact, asked.countries))
        }
        AdminCall::Log(asked) => log(asked, broker, output).await,
        AdminCall::Reload { dry_run } => reload(*dry_run, broker, output).await,
        AdminCall::Drain { grace } => {
            let request = v1::DrainRequest {
                grace: grace.map(duration).transpose()?,
            };
            let drain = broker.call(AuthorizedClient::drain, request).await?;
            output.show(&drain, text::drain)
        }
        AdminCall::Resume => {
            let resumed = broker
                .call(AuthorizedClient::resume, v1::ResumeRequest {})
                .await?;
            output.show(&resumed, |_| "matching\n".to_owned())
        }
        AdminCall::Config { prefix } => {
            let request = v1::GetConfigRequest {
                key_prefix: prefix.clone(),
            };
            let config = broker.call(AuthorizedClient::get_config, request).await?;
            if config.settings.is_empty() {
                let problem = format!("no key begins with {prefix:?}");
                return Err(Failure::NotFound(problem));
            }
            output.show(&config, text::config)
        }
        AdminCall::Peers => peers(broker, output).await,
        AdminCall::Nodes => {
            let request = v1::ListNodesRequest {};
            let nodes = broker.call(AuthorizedClient::list_nodes, request).await?;
            output.show(&nodes, text::nodes)
        }
        AdminCall::Pools(asked) => pools::make(asked, broker, output).await,
        AdminCall::Version => {
            let status = broker
                .call(AuthorizedClient::get_status, v1::GetStatusRequest {})
                .await?;
            let ours = env!("VERSION_WITH_DETAILS");
            if output.is_json() {
                let versions = serde_json::json!({ "program": ours, "broker": status.version });
                return print(&format!("{versions}\n"));
            }
            print(&text::versions(ours, &status))
        }
    }
}

/// Lists every page; as JSON, prints each page at once.
async fn polls(
    asked: &PollsArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let mut left = asked.limit.unwrap_or(usize::MAX);
    let mut page_token = String::new();
    let mut listed = Vec::new();
    while left > 0 {
        let request = v1::ListParkedPollsRequest {
            filter: asked.filter.clone(),
            page_size: page_size(left),
            page_token,
        };
        let page = broker
            .call(AuthorizedClient::list_parked_polls, request)
            .await?;
        left = left.saturating_sub(page.parked_polls.len());
        if output.is_json() {
            for poll in &page.parked_polls {
                output.show(poll, |_| String::new())?;
            }
        } else {
            listed.extend(page.parked_polls);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if output.is_json() {
        return Ok(());
    }
    print(&text::polls(&listed))
}

async fn stats(as_text: bool, broker: &mut RemoteBroker, output: &Printer) -> Result<(), Failure> {
    let stats = broker
        .call(AuthorizedClient::get_stats, v1::GetStatsRequest {})
        .await?;
    let text = if as_text {
        |stats: &v1::Stats| stats.text.clone()
    } else {
        text::stats
    };
    output.show(&stats, text)
}

/// Without changes, this only shows the intervals.
async fn interval(
    asked: &IntervalArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let asks_only = *asked == IntervalArgs::default();
    let span = |span: Option<Duration>| span.map(duration).transpose();
    let request = v1::SetPollIntervalsRequest {
        poll_intervals: Some(v1::PollIntervals {
            open: span(asked.open)?,
            moderate: span(asked.moderate)?,
            strict: span(asked.strict)?,
            refused: span(asked.refused)?,
            overloaded: span(asked.overloaded)?,
        }),
        update_mask: None,
        validate_only: asked.dry_run || asks_only,
    };
    let intervals = broker
        .call(AuthorizedClient::set_poll_intervals, request)
        .await?;
    output.show(&intervals, |intervals| {
        text::intervals(intervals, DryRun(asked.dry_run))
    })
}

async fn relay(
    asked: &RelayArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let asks_only = *asked == RelayArgs::default();
    let request = v1::SetRelayPolicyRequest {
        relay_policy: Some(v1::RelayPolicy {
            allowed_relay_pattern: asked.allowed.clone(),
            default_relay_pattern: asked.default.clone(),
            warnings: Vec::new(),
        }),
        update_mask: Some(relay_mask(asked)),
        validate_only: asked.dry_run || asks_only,
    };
    let policy = broker
        .call(AuthorizedClient::set_relay_policy, request)
        .await?;
    output.show(&policy, |policy| text::relay(policy, DryRun(asked.dry_run)))
}

/// The fields to change. They must be named, since an absent pattern is unset.
fn relay_mask(asked: &RelayArgs) -> FieldMask {
    let changes_default = asked.default.is_some() || asked.no_default;
    mask(&[
        ("allowed_relay_pattern", asked.allowed.is_some()),
        ("default_relay_pattern", changes_default),
    ])
}

async fn limits(
    asked: &LimitsArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let asks_only = *asked == LimitsArgs::default();
    let request = v1::SetLimitsRequest {
        limits: Some(v1::Limits {
            proxy_polls_per_minute: asked.proxy_polls_per_minute,
            proxy_poll_burst: asked.proxy_poll_burst,
            client_polls_per_minute: asked.client_polls_per_minute,
            client_poll_burst: asked.client_poll_burst,
            answers_per_minute: asked.answers_per_minute,
            answer_burst: asked.answer_burst,
            intermediary_factor: asked.intermediary_factor,
            intermediaries: asked.intermediaries.clone(),
            unconfirmed_factor: asked.unconfirmed_factor,
            exempt: asked.exempt.clone(),
        }),
        update_mask: Some(limits_mask(asked)),
        validate_only: asked.dry_run || asks_only,
    };
    let limits = broker.call(AuthorizedClient::set_limits, request).await?;
    output.show(&limits, |limits| {
        text::limits(limits, DryRun(asked.dry_run))
    })
}

/// The fields to change. They must be named, since an empty list could also mean no
/// change.
fn limits_mask(asked: &LimitsArgs) -> FieldMask {
    mask(&[
        (
            "proxy_polls_per_minute",
            asked.proxy_polls_per_minute.is_some(),
        ),
        ("proxy_poll_burst", asked.proxy_poll_burst.is_some()),
        (
            "client_polls_per_minute",
            asked.client_polls_per_minute.is_some(),
        ),
        ("client_poll_burst", asked.client_poll_burst.is_some()),
        ("answers_per_minute", asked.answers_per_minute.is_some()),
        ("answer_burst", asked.answer_burst.is_some()),
        ("intermediary_factor", asked.intermediary_factor.is_some()),
        (
            "intermediaries",
            asked.no_intermediaries || !asked.intermediaries.is_empty(),
        ),
        ("unconfirmed_factor", asked.unconfirmed_factor.is_some()),
        ("exempt", asked.no_exempt || !asked.exempt.is_empty()),
    ])
}

async fn log(asked: &LogArgs, broker: &mut RemoteBroker, output: &Printer) -> Result<(), Failure> {
    let request = v1::SetLogFilterRequest {
        filter: asked.filter.clone(),
        ttl: asked.ttl.map(duration).transpose()?,
        validate_only: asked.dry_run,
    };
    let filter = broker
        .call(AuthorizedClient::set_log_filter, request)
        .await?;
    output.show(&filter, |filter| {
        text::log_filter(filter, DryRun(asked.dry_run))
    })
}

async fn reload(dry_run: bool, broker: &mut RemoteBroker, output: &Printer) -> Result<(), Failure> {
    let request = v1::ReloadRequest {
        validate_only: dry_run,
    };
    let reloaded = broker.call(AuthorizedClient::reload, request).await?;
    output.show(&reloaded, |reloaded| {
        text::reloaded(reloaded, DryRun(dry_run))
    })
}

async fn peers(broker: &mut RemoteBroker, output: &Printer) -> Result<(), Failure> {
    let mut all = v1::ListPeersResponse::default();
    loop {
        let request = v1::ListPeersRequest {
            page_size: page_size(usize::MAX),
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let page = broker.call(AuthorizedClient::list_peers, request).await?;
        all.peers.extend(page.peers);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return output.show(&all, text::peers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_changes() {
        assert!(limits_mask(&LimitsArgs::default()).paths.is_empty());
        let asked = LimitsArgs {
            answer_burst: Some(0),
            no_exempt: true,
            ..LimitsArgs::default()
        };
        assert_eq!(limits_mask(&asked).paths, ["answer_burst", "exempt"]);
    }
}

//! The calls about the policy: its rules, and what they do for a client.

use std::path::Path;

use crate::grpc::policy_message;
use crate::policy::Settings;
use crate::proto::admin::v1;

use super::arguments::{ExplainArgs, PolicyArgs};
use super::connection::{AuthorizedClient, RemoteBroker, mask, read};
use super::failure::Failure;
use super::output::Printer;
use super::policy_file::PolicyFile;
use super::text::{self, DryRun};

/// Replaces the policy, or asks for it.
pub(super) async fn policy(
    asked: &PolicyArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let policy = match &asked.file {
        None => {
            let call = AuthorizedClient::get_policy;
            broker.call(call, v1::GetPolicyRequest {}).await?
        }
        Some(file) => {
            let request = v1::SetPolicyRequest {
                policy: Some(policy_message::message(&settings(file)?)),
                // All of it, so that no rules means none.
                update_mask: Some(mask(&[
                    ("rules", true),
                    ("same_country_and_network", true),
                    ("reserve", true),
                ])),
                validate_only: asked.dry_run,
            };
            broker.call(AuthorizedClient::set_policy, request).await?
        }
    };
    output.show(&policy, |policy| {
        text::policy(policy, DryRun(asked.dry_run))
    })
}

fn settings(file: &Path) -> Result<Settings, Failure> {
    let text = read("--file", file)?;
    let read = toml::from_str(&text).map(|file: PolicyFile| file.policy);
    read.map_err(|error| Failure::Input(format!("--file: {}: {error}", file.display())))
}

/// Asks for the explanation of the policy.
pub(super) async fn explain(
    asked: &ExplainArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let client = asked.client.clone();
    let request = v1::ExplainPolicyRequest {
        country: client.country,
        nat: client.nat,
        rendezvous: client.rendezvous,
        asn: client.asn,
    };
    let explanation = broker
        .call(AuthorizedClient::explain_policy, request)
        .await?;
    output.show(&explanation, text::explanation)
}

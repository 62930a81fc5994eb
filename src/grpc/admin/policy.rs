//! The policy: its change at runtime, and its explanation for a client.

use tonic::Status;

use super::operations::Overrides;
use crate::broker::{Broker, Directory, ExplainedPoll, Explanation};
use crate::geoip::CountryCode;
use crate::grpc::convert::{count, pool};
use crate::grpc::policy_message::{self, message};
use crate::grpc::update::{Update, all};
use crate::grpc::violations::{Violations, invalid};
use crate::policy::{ClientFacts, Policy, Settings, Whereabouts};
use crate::proto::admin::v1;
use crate::wire::nat::NatType;
use crate::wire::rendezvous_method::Rendezvous;

const FIELDS: [&str; 3] = ["rules", "same_country_and_network", "reserve"];

/// The policy in force.
pub(super) fn get(broker: &Broker) -> v1::Policy {
    message(broker.directory().policy.settings())
}

/// Changes the policy. Returns all of it and what changed.
pub(super) fn set(
    broker: &Broker,
    asked: &v1::SetPolicyRequest,
) -> Result<(v1::Policy, Overrides), Status> {
    let directory = broker.directory();
    let (settings, overrides) = changed(directory.policy.settings().clone(), asked)?;
    check_knowledge(&directory, &settings)?;
    let message = message(&settings);
    if !asked.validate_only {
        broker.control().set_policy(settings);
    }
    Ok((message, overrides))
}

/// The request that makes these rules those of another node.
pub(super) fn whole(policy: &v1::Policy) -> v1::SetPolicyRequest {
    v1::SetPolicyRequest {
        policy: Some(policy.clone()),
        update_mask: Some(all(&FIELDS)),
        validate_only: false,
    }
}

/// The policy with the changes applied, and the changes as in a TOML file.
fn changed(
    mut policy: Settings,
    asked: &v1::SetPolicyRequest,
) -> Result<(Settings, Overrides), Status> {
    let sent = asked.policy.clone().unwrap_or_default();
    let mut update = Update::new("policy", &FIELDS, asked.update_mask.as_ref());
    let rules = &mut policy.rules;
    update.set_list("rules", &sent.rules, policy_message::rule, rules);
    update.set(
        "same_country_and_network",
        sent.same_country_and_network,
        |word| policy_message::same_place(&word),
        &mut policy.same_country_and_network,
    );
    let reserve = |number| Ok(number as usize);
    update.set("reserve", sent.reserve, reserve, &mut policy.reserve);
    let overrides = update.finish("policy", &policy, Settings::check)?;
    Ok((policy, overrides))
}

/// Checks that the broker knows what rules ask for: databases, and files that were read with
/// the configuration.
fn check_knowledge(directory: &Directory, settings: &Settings) -> Result<(), Status> {
    let mut violations = Violations::default();
    let (geoip, lists) = (&directory.geoip, directory.policy.lists());
    if settings.asks_for_countries() && !geoip.has_ipv4() && !geoip.has_ipv6() {
        violations.add(
            "policy.rules",
            "must not ask for countries, which are not known",
        );
    }
    if settings.asks_for_asns() && !geoip.has_asns() {
        let problem = "needs geoip.asndb, the database of autonomous systems, for asns";
        violations.add("policy.rules", problem);
    }
    for (rule, path) in settings.network_files() {
        if !lists.contains_key(path) {
            let problem = format!("{rule}: networks must be a file that the configuration names");
            violations.add("policy.rules", problem);
        }
    }
    violations.into_result()
}

/// The rules for a client, and the polls that it would get.
pub(super) fn explain(
    broker: &Broker,
    asked: &v1::ExplainPolicyRequest,
) -> Result<v1::ExplainPolicyResponse, Status> {
    let explanation = broker.control().explain(&client(asked)?);
    let policy = &explanation.policy;
    let names = |rules| policy.names_of(rules).map(str::to_owned).collect();
    let pools = explanation.pools.iter().map(|view| v1::ExplainedPool {
        pool: pool(view.pool).into(),
        parked_count: count(view.parked),
        allowed_count: count(view.allowed),
        polls: groups(policy, &view.polls),
        softened_rules: names(view.softened),
        spent_rules: names(view.spent),
    });
    Ok(v1::ExplainPolicyResponse {
        rules: rules(&explanation),
        pools: pools.collect(),
    })
}

fn client(asked: &v1::ExplainPolicyRequest) -> Result<ClientFacts, Status> {
    let country = match &*asked.country {
        "" => Ok(CountryCode::UNKNOWN),
        country => country.parse(),
    };
    let rendezvous = match &*asked.rendezvous {
        "" => Some(Rendezvous::Http),
        word => policy_message::rendezvous(word),
    };
    let unknown = |word: &str| format!("{word:?} is not known");
    Ok(ClientFacts {
        whereabouts: Whereabouts {
            address: None,
            country: country.map_err(|error| invalid("country", format!("{error}")))?,
            asn: Some(asked.asn).filter(|&asn| asn > 0),
        },
        nat: NatType::from_field(Some(&asked.nat))
            .map_err(|_| invalid("nat", unknown(&asked.nat)))?,
        rendezvous: Some(
            rendezvous.ok_or_else(|| invalid("rendezvous", unknown(&asked.rendezvous)))?,
        ),
    })
}

fn rules(explanation: &Explanation) -> Vec<v1::ExplainedRule> {
    let rules = explanation.rules.iter();
    let explained = rules.map(|rule| v1::ExplainedRule {
        name: rule.name.clone(),
        action: rule.action.as_str().to_owned(),
        poll_count: count(rule.polls),
    });
    explained.collect()
}

/// The polls, those of one kind that follow each other as one.
fn groups(policy: &Policy, polls: &[ExplainedPoll]) -> Vec<v1::ExplainedPolls> {
    let groups = polls.chunk_by(|one, other| one == other);
    let group = groups.filter_map(|polls| {
        let poll = polls.first()?;
        Some(v1::ExplainedPolls {
            count: count(polls.len()),
            preference: poll.preference.as_str().to_owned(),
            rules: policy.names_of(poll.by).map(str::to_owned).collect(),
            band: poll.band.as_str().to_owned(),
            country: poll.country.to_string(),
            r#type: poll.proxy_type.to_string(),
            nat: poll.nat.to_string(),
            generation: poll.generation.as_str().to_owned(),
        })
    });
    group.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_section_is_a_field() {
        let settings = toml::Table::try_from(Settings::default()).unwrap();
        let mut known: Vec<&str> = settings.keys().map(String::as_str).collect();
        let mut fields = FIELDS;
        known.sort_unstable();
        fields.sort_unstable();
        assert_eq!(known, fields);
    }

    #[test]
    fn everything_wrong_is_named() {
        let rule = |name: &str, action: &str| v1::PolicyRule {
            name: name.to_owned(),
            action: action.to_owned(),
            ..v1::PolicyRule::default()
        };
        let refused = |rules: Vec<v1::PolicyRule>| {
            let asked = v1::SetPolicyRequest {
                policy: Some(v1::Policy {
                    rules,
                    same_country_and_network: Some("first".to_owned()),
                    reserve: Some(65),
                }),
                ..v1::SetPolicyRequest::default()
            };
            changed(Settings::default(), &asked)
                .unwrap_err()
                .message()
                .to_owned()
        };
        let unread = refused(vec![rule("a", "first")]);
        assert_eq!(
            unread,
            "policy.rules: a.action: must be prefer, last or deny; \
             policy.same_country_and_network: must be none or last; \
             policy.reserve: must be between 0 and 64 (got 65)"
        );
        let wrong = refused(vec![rule("a", "last")]);
        let problem = "policy.rules: a.proxy: must have a condition";
        assert!(wrong.contains(problem), "{wrong}");
    }
}

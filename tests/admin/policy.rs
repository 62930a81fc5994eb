//! The policy: changed at runtime, and explained.

use snowflake_broker::proto::admin::v1::{
    ClientConditions, ExplainPolicyRequest, GetPolicyRequest, Policy, PolicyRule, Pool,
    ProxyConditions, SetPolicyRequest,
};
use tonic::Code;

use crate::broker::Broker;
use crate::settings::{setting, wrong_fields};
use crate::supply::{BEHIND_A_PROXY, FIRST, SECOND, polls, start_poll};
use crate::until;

fn rule(name: &str, action: &str, nat: &str) -> PolicyRule {
    PolicyRule {
        name: name.to_owned(),
        action: action.to_owned(),
        proxy: Some(ProxyConditions {
            nat: vec![nat.to_owned()],
            ..ProxyConditions::default()
        }),
        ..PolicyRule::default()
    }
}

fn request(rules: Vec<PolicyRule>) -> SetPolicyRequest {
    SetPolicyRequest {
        policy: Some(Policy {
            rules,
            reserve: Some(0),
            ..Policy::default()
        }),
        ..SetPolicyRequest::default()
    }
}

#[tokio::test]
async fn rules_change_at_once_and_are_told() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let asked = request(vec![rule("a", "last", "restricted")]);
    let checked = SetPolicyRequest {
        validate_only: true,
        ..asked.clone()
    };
    client.set_policy(checked).await.unwrap();
    let told = client.get_policy(GetPolicyRequest {}).await.unwrap();
    assert!(told.get_ref().rules.is_empty());
    let set = client.set_policy(asked).await.unwrap().into_inner();
    let told = client.get_policy(GetPolicyRequest {}).await.unwrap();
    assert_eq!(told.get_ref(), &set);
    assert_eq!(set.same_country_and_network(), "none");
    let (value, source) = setting(&broker, "policy.reserve").await;
    assert_eq!((&*value, &*source), ("0", "admin"));
    let (value, source) = setting(&broker, "policy.rules").await;
    assert!(value.contains("name = \"a\""), "{value}");
    assert_eq!(source, "admin");
}

#[tokio::test]
async fn what_the_broker_does_not_know_is_refused() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    for (conditions, problem) in [
        (
            ProxyConditions {
                countries: vec!["IR".to_owned()],
                ..ProxyConditions::default()
            },
            "policy.rules: must not ask for countries, which are not known",
        ),
        (
            ProxyConditions {
                asns: vec![1],
                ..ProxyConditions::default()
            },
            "policy.rules: needs geoip.asndb, the database of autonomous systems, for asns",
        ),
        (
            ProxyConditions {
                networks: "/etc/passwd".to_owned(),
                ..ProxyConditions::default()
            },
            "policy.rules: a: networks must be a file that the configuration names",
        ),
    ] {
        let rule = PolicyRule {
            proxy: Some(conditions),
            ..rule("a", "last", "open")
        };
        let refused = client.set_policy(request(vec![rule])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), problem);
        assert_eq!(wrong_fields(&refused), ["policy.rules"]);
    }
    let many = (0..65).map(|number| rule(&number.to_string(), "last", "open"));
    let refused = client.set_policy(request(many.collect())).await;
    let expected = "policy.rules: must be 64 rules or fewer, not 65";
    assert_eq!(refused.unwrap_err().message(), expected);
}

#[tokio::test]
async fn a_client_is_told_its_rules_and_polls() {
    let broker = Broker::start(BEHIND_A_PROXY).await;
    let mut client = broker.client().await;
    let for_restricted = PolicyRule {
        client: Some(ClientConditions {
            nat: vec!["restricted".to_owned()],
            rendezvous: vec!["http".to_owned()],
            ..ClientConditions::default()
        }),
        ..rule("for-restricted", "last", "unrestricted")
    };
    let rules = vec![for_restricted, rule("never", "deny", "open")];
    client.set_policy(request(rules)).await.unwrap();
    let first = start_poll(&broker, FIRST, "a");
    until("it is parked", async || polls(&broker).await == 1).await;
    let second = start_poll(&broker, SECOND, "b");
    until("both are parked", async || polls(&broker).await == 2).await;

    let asked = ExplainPolicyRequest {
        nat: "restricted".to_owned(),
        ..ExplainPolicyRequest::default()
    };
    let told = client
        .explain_policy(asked.clone())
        .await
        .unwrap()
        .into_inner();
    let rules: Vec<_> = told
        .rules
        .iter()
        .map(|rule| (&*rule.name, &*rule.action, rule.poll_count))
        .collect();
    assert_eq!(rules, [("for-restricted", "last", 2), ("never", "deny", 0)]);
    let [pool] = &told.pools[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (pool.pool(), pool.parked_count, pool.allowed_count),
        (Pool::Open, 2, 2)
    );
    let [polls] = &pool.polls[..] else {
        panic!("{pool:?}")
    };
    assert_eq!(polls.count, 2);
    assert_eq!(
        [
            &*polls.preference,
            &*polls.band,
            &*polls.country,
            &*polls.r#type,
            &*polls.nat
        ],
        ["last", "unknown", "??", "standalone", "unrestricted"]
    );
    assert_eq!(
        (&*polls.rules, &*polls.generation),
        (&["for-restricted".to_owned()][..], "unknown")
    );
    let by_queue = ExplainPolicyRequest {
        rendezvous: "sqs".to_owned(),
        ..asked.clone()
    };
    let told = client.explain_policy(by_queue).await.unwrap().into_inner();
    assert_eq!(told.rules.len(), 1);
    for wrong in [
        ExplainPolicyRequest {
            country: "Russia".to_owned(),
            ..asked.clone()
        },
        ExplainPolicyRequest {
            rendezvous: "pigeon".to_owned(),
            ..asked
        },
    ] {
        let refused = client.explain_policy(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert!(!first.is_finished() && !second.is_finished());
}

/// An explanation without them looked as if the rules had no conditions that anybody met.
#[tokio::test]
async fn rules_that_count_for_nothing_are_told() {
    let broker = Broker::start(BEHIND_A_PROXY).await;
    let mut client = broker.client().await;
    let few = rule("few", "prefer", "unrestricted");
    let limited = PolicyRule {
        share: Some(0.25),
        ..rule("limited", "prefer", "unrestricted")
    };
    let policy = Policy {
        rules: vec![few, limited],
        same_country_and_network: Some("last".to_owned()),
        reserve: Some(2),
    };
    let request = SetPolicyRequest {
        policy: Some(policy),
        ..SetPolicyRequest::default()
    };
    client.set_policy(request).await.unwrap();
    let poll = start_poll(&broker, FIRST, "a");
    until("it is parked", async || polls(&broker).await == 1).await;

    let asked = ExplainPolicyRequest {
        nat: "restricted".to_owned(),
        asn: 64_500,
        ..ExplainPolicyRequest::default()
    };
    let told = client.explain_policy(asked).await.unwrap().into_inner();
    let last = told.rules.last().unwrap();
    assert_eq!(
        (&*last.name, &*last.action, last.poll_count),
        ("same_country_and_network", "last", 0)
    );
    let first = &told.pools[0];
    assert_eq!(first.softened_rules, ["few"]);
    assert_eq!(first.spent_rules, ["limited"]);
    assert_eq!(first.polls[0].preference, "neutral");
    assert!(!poll.is_finished());
}

//! The claims in docs/sqs.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use snowflake_broker::config::Config;
use snowflake_broker::metrics::labels::QueueCall;
use snowflake_broker::sqs::Settings;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sqs.md");
    let text = fs::read_to_string(path).unwrap();
    // Blocks in numbered steps are indented.
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("   ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    let opened = text.split(&opening).skip(1);
    opened
        .map(|block| block.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// The policy after a mark, as pairs of an allowed action and its resource.
fn policy(whose: &str) -> BTreeSet<(String, String)> {
    let text = document();
    let (_, rest) = text
        .split_once(&format!("<!-- {whose} policy -->"))
        .unwrap();
    let policy: Value = serde_json::from_str(&blocks(rest, "json")[0]).unwrap();
    let mut allowed = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().unwrap();
        let queue = resource.rsplit(':').next().unwrap();
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        };
        for action in actions {
            let action = action.as_str().unwrap().strip_prefix("sqs:").unwrap();
            allowed.insert((queue.to_owned(), action.to_owned()));
        }
    }
    allowed
}

#[test]
fn the_brokers_policy_allows_what_the_broker_calls_and_nothing_else() {
    let allowed: BTreeSet<String> = policy("the broker's")
        .into_iter()
        .map(|(_, call)| call)
        .collect();
    let called = QueueCall::ALL.map(|call| call.to_string());
    assert_eq!(allowed, called.into());
}

#[test]
fn clients_may_neither_list_queues_nor_take_what_others_wrote() {
    let allowed = policy("the clients'");
    let on = |queue: &str| {
        let calls = allowed.iter().filter(|(resource, _)| resource == queue);
        calls.map(|(_, call)| call.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(on("snowflake-broker"), ["GetQueueUrl", "SendMessage"]);
    let calls = ["DeleteMessage", "GetQueueUrl", "ReceiveMessage"];
    assert_eq!(on("snowflake-client-*"), calls);
    assert_eq!(allowed.len(), 5);
}

#[test]
fn the_settings_are_settings() {
    let text = document();
    let [single, several] = &blocks(&text, "toml")[..] else {
        panic!("two blocks");
    };
    let queues = |block: &str| {
        let config: Config = toml::from_str(block).unwrap();
        let queues: Vec<String> = Settings::all_queues(&config.sqs)
            .iter()
            .map(ToString::to_string)
            .collect();
        queues
    };
    let expected = ["queue snowflake-broker, profile snowflake, region us-east-1"];
    assert_eq!(queues(single), expected);
    let expected = [
        "queue snowflake-broker, profile spare, region eu-central-1",
        "queue rendezvous, default credentials, region ap-southeast-1",
    ];
    assert_eq!(queues(several), expected);
}

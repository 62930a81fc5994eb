//! The text form of the policy and of its explanation.

use crate::admin_client::policy_file::PolicyFile;
use crate::causes::one_line;
use crate::grpc::policy_message;
use crate::policy::Settings;
use crate::proto::admin::v1;

use super::sentences::DryRun;
use super::table::TextTable;

/// The policy as in a configuration.
pub(in crate::admin_client) fn policy(policy: &v1::Policy, dry_run: DryRun) -> String {
    let rules = policy.rules.iter().map(policy_message::rule);
    let same_place = policy_message::same_place(policy.same_country_and_network());
    let file = rules.collect::<Result<_, _>>().and_then(|rules| {
        Ok(PolicyFile {
            policy: Settings {
                rules,
                same_country_and_network: same_place?,
                reserve: policy.reserve() as usize,
            },
        })
    });
    let text = file.and_then(|file| toml::to_string(&file).map_err(|error| error.to_string()));
    let newer = |problem: String| format!("of a newer broker, see it with --json: {problem}\n");
    dry_run.mark(text.unwrap_or_else(newer))
}

/// The rules for a client, then a table for each pool.
pub(in crate::admin_client) fn explanation(explanation: &v1::ExplainPolicyResponse) -> String {
    let pools = explanation.pools.iter().map(|pool| {
        let idle = [
            (
                "favors too few polls (policy.reserve)",
                &pool.softened_rules,
            ),
            ("has had its share", &pool.spent_rules),
        ];
        let idle = idle.map(|(reason, rules)| without_effect(rules, reason));
        format!(
            "\npool {}: {} polls, {} of them allowed\n{}{}",
            pool.pool().as_str_name().to_lowercase(),
            pool.parked_count,
            pool.allowed_count,
            idle.concat(),
            polls(&pool.polls)
        )
    });
    rules(&explanation.rules) + &pools.collect::<String>()
}

fn without_effect(rules: &[String], reason: &str) -> String {
    let line = |rule: &String| format!("{} counts for nothing: it {reason}\n", one_line(rule));
    rules.iter().map(line).collect()
}

fn rules(rules: &[v1::ExplainedRule]) -> String {
    if rules.is_empty() {
        return "no rule is for this client\n".to_owned();
    }
    let mut table = TextTable::of_words();
    table.row(["rule", "action", "polls"]);
    for rule in rules {
        table.row([&rule.name, &rule.action, &rule.poll_count.to_string()]);
    }
    table.to_string()
}

fn polls(polls: &[v1::ExplainedPolls]) -> String {
    if polls.is_empty() {
        return String::new();
    }
    let mut table = TextTable::of_words();
    table.row([
        "polls",
        "standing",
        "by",
        "band",
        "country",
        "type",
        "nat",
        "generation",
    ]);
    for group in polls {
        let by = match &group.rules[..] {
            [] => "-".to_owned(),
            rules => rules.join(", "),
        };
        table.row([
            &group.count.to_string(),
            &group.preference,
            &by,
            &group.band,
            &group.country,
            &group.r#type,
            &group.nat,
            &group.generation,
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_printed_as_it_is_written() {
        let settings = "[policy]\nsame_country_and_network = \"last\"\nreserve = 8\n\n\
            [[policy.rules]]\nname = \"a\"\naction = \"prefer\"\nshare = 0.5\n\n\
            [policy.rules.proxy]\ntypes = [\"webext\"]\n";
        let read: toml::Table = settings.parse().unwrap();
        let parsed: Settings = read["policy"].clone().try_into().unwrap();
        let printed = policy(&policy_message::message(&parsed), DryRun(false));
        let again: toml::Table = printed.parse().unwrap();
        assert_eq!(
            again["policy"].clone().try_into::<Settings>().unwrap(),
            parsed
        );
    }

    #[test]
    fn pools_are_explained_one_after_the_other() {
        let explained = v1::ExplainPolicyResponse {
            rules: vec![v1::ExplainedRule {
                name: "old-go".to_owned(),
                action: "last".to_owned(),
                poll_count: 3,
            }],
            pools: vec![v1::ExplainedPool {
                pool: v1::Pool::Open.into(),
                parked_count: 4,
                allowed_count: 4,
                softened_rules: vec!["phones".to_owned()],
                spent_rules: vec!["webext".to_owned()],
                polls: vec![v1::ExplainedPolls {
                    count: 3,
                    preference: "last".to_owned(),
                    rules: vec!["old-go".to_owned()],
                    band: "good".to_owned(),
                    country: "DE".to_owned(),
                    r#type: "standalone".to_owned(),
                    nat: "unrestricted".to_owned(),
                    generation: "old".to_owned(),
                }],
            }],
        };
        let expected = "rule    action  polls\nold-go  last    3\n\n\
            pool open: 4 polls, 4 of them allowed\n\
            phones counts for nothing: it favors too few polls (policy.reserve)\n\
            webext counts for nothing: it has had its share\n\
            polls  standing  by      band  country  type        nat           generation\n\
            3      last      old-go  good  DE       standalone  unrestricted  old\n";
        assert_eq!(explanation(&explained), expected);
        let none = explanation(&v1::ExplainPolicyResponse::default());
        assert_eq!(none, "no rule is for this client\n");
    }
}

//! The policy as a message of the administration.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::policy::{
    ClientConditions, Generation, ProxyConditions, RuleAction, RuleSettings, SamePlace, Settings,
};
use crate::proto::admin::v1;
use crate::wire::rendezvous_method::Rendezvous;

/// The message with these settings.
pub fn message(settings: &Settings) -> v1::Policy {
    v1::Policy {
        rules: settings.rules.iter().map(rule_message).collect(),
        same_country_and_network: Some(settings.same_country_and_network.as_str().to_owned()),
        reserve: u32::try_from(settings.reserve).ok(),
    }
}

fn rule_message(rule: &RuleSettings) -> v1::PolicyRule {
    let (client, proxy) = (&rule.client, &rule.proxy);
    v1::PolicyRule {
        name: rule.name.clone(),
        client: Some(v1::ClientConditions {
            countries: words(&client.countries),
            networks: path_text(client.networks.as_deref()),
            asns: client.asns.clone(),
            nat: words(&client.nat),
            rendezvous: words(&client.rendezvous),
        }),
        proxy: Some(v1::ProxyConditions {
            countries: words(&proxy.countries),
            networks: path_text(proxy.networks.as_deref()),
            asns: proxy.asns.clone(),
            types: proxy.types.clone(),
            nat: words(&proxy.nat),
            generation: proxy
                .generation
                .iter()
                .map(|known| known.as_str().to_owned())
                .collect(),
        }),
        action: rule.action.as_str().to_owned(),
        share: (rule.share < 1.0).then_some(rule.share),
    }
}

/// The rule in a message.
///
/// # Errors
/// Returns the first word that is none, with its field.
pub fn rule(sent: &v1::PolicyRule) -> Result<RuleSettings, String> {
    let client = sent.client.clone().unwrap_or_default();
    let proxy = sent.proxy.clone().unwrap_or_default();
    let read = || {
        Ok(RuleSettings {
            name: sent.name.clone(),
            client: ClientConditions {
                countries: parsed("client.countries", &client.countries)?,
                networks: path(&client.networks),
                asns: client.asns.clone(),
                nat: parsed("client.nat", &client.nat)?,
                rendezvous: named("client.rendezvous", &client.rendezvous, rendezvous)?,
            },
            proxy: ProxyConditions {
                countries: parsed("proxy.countries", &proxy.countries)?,
                networks: path(&proxy.networks),
                asns: proxy.asns.clone(),
                types: proxy.types.clone(),
                nat: parsed("proxy.nat", &proxy.nat)?,
                generation: named("proxy.generation", &proxy.generation, generation)?,
            },
            action: action(&sent.action)
                .ok_or_else(|| "action: must be prefer, last or deny".to_owned())?,
            share: sent.share.unwrap_or(1.0),
        })
    };
    read().map_err(|problem: String| format!("{}.{problem}", sent.name))
}

/// The rendezvous method with this word.
pub fn rendezvous(word: &str) -> Option<Rendezvous> {
    Rendezvous::ALL
        .into_iter()
        .find(|known| known.as_str() == word)
}

/// The treatment with this word.
pub fn same_place(word: &str) -> Result<SamePlace, String> {
    let known = [SamePlace::None, SamePlace::Last].into_iter();
    let mut known = known.filter(|known| known.as_str() == word);
    known
        .next()
        .ok_or_else(|| "must be none or last".to_owned())
}

fn action(word: &str) -> Option<RuleAction> {
    RuleAction::ALL
        .into_iter()
        .find(|known| known.as_str() == word)
}

fn generation(word: &str) -> Option<Generation> {
    Generation::ALL
        .into_iter()
        .find(|known| known.as_str() == word)
}

fn words<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn path_text(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string())
        .unwrap_or_default()
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

fn parsed<T: FromStr>(field: &str, words: &[String]) -> Result<Vec<T>, String> {
    named(field, words, |word| word.parse().ok())
}

fn named<T>(
    field: &str,
    words: &[String],
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let read = |word: &String| read(word).ok_or_else(|| format!("{field}: {word:?} is not known"));
    words.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_rule_is_the_same_after_its_way() {
        let settings = settings(
            "[[rules]]\nname = 'a'\naction = 'prefer'\nshare = 0.25\n\
             client = { countries = ['RU', '??'], nat = ['strict'], rendezvous = ['sqs'], \
             networks = '/a', asns = [1] }\nproxy = { countries = ['IR'], types = ['orbot-*'], \
             generation = ['old', 'unknown'], nat = ['unknown'], networks = '/b', asns = [2] }\n\
             [[rules]]\nname = 'b'\naction = 'deny'\nproxy.types = ['webext']\n",
        );
        let message = message(&settings);
        let rules: Result<Vec<_>, _> = message.rules.iter().map(rule).collect();
        assert_eq!(rules.unwrap(), settings.rules);
        assert_eq!(message.same_country_and_network(), "none");
    }

    #[test]
    fn a_word_that_is_none_is_named_with_its_field() {
        let with = |change: fn(&mut v1::PolicyRule)| {
            let mut sent = v1::PolicyRule {
                name: "a".to_owned(),
                action: "last".to_owned(),
                ..v1::PolicyRule::default()
            };
            change(&mut sent);
            rule(&sent).unwrap_err()
        };
        let wrong = with(|sent| sent.action.clear());
        assert_eq!(wrong, "a.action: must be prefer, last or deny");
        let wrong = with(|sent| {
            sent.proxy.get_or_insert_default().generation = vec!["new".to_owned()];
        });
        assert_eq!(wrong, "a.proxy.generation: \"new\" is not known");
        let wrong = with(|sent| {
            sent.client.get_or_insert_default().countries = vec!["Russia".to_owned()];
        });
        assert_eq!(wrong, "a.client.countries: \"Russia\" is not known");
    }
}

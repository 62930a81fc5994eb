//! Settings of rendezvous through SQS.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::client_id::{LONGEST_NAME, REPLY_QUEUES, is_name};
use crate::report::{COUNT_MAX, SettingsReport};

/// The queues that clients write to. The keys `queue_name`, `region` and `profiles`,
/// which correspond to the reference broker's flags, configure a single queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The name of a queue; without it, only `queues` are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_name: Option<String>,
    /// The queue's region; by default from AWS's environment variables or profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The AWS profiles to poll it with, for a queue of that name in each account. An
    /// empty list means the default credentials.
    pub profiles: Vec<String>,
    /// The maximum number of messages handled at once per queue.
    pub concurrency: usize,
    /// Deletes unused reply queues.
    pub sweep: bool,
    /// More queues.
    pub queues: Vec<QueueSettings>,
}

/// A queue that clients write to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSettings {
    /// The queue's name.
    pub name: String,
    /// The queue's region; by default from AWS's environment variables or profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The AWS profile to poll it with; by default the default credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The private pool whose clients write to it; by default it is everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// A reason why a queue's name is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum InvalidQueueName {
    /// SQS does not allow the name.
    #[error("must be 1 to {LONGEST_NAME} of the characters A-Z, a-z, 0-9, - and _")]
    Form,
    /// The name looks like a client's reply queue, so the queue would be deleted.
    #[error("must not begin with {REPLY_QUEUES}, as reply queues do")]
    ReplyQueue,
}

impl Settings {
    /// Reports mistakes, and settings without effect.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("concurrency", self.concurrency, &(1..=COUNT_MAX));
        let named = self.queue_name.as_deref().map_or(Ok(()), check_queue_name);
        report.refuse_if("queue_name", named.err().map(|problem| problem.to_string()));
        let problem = |QueueSettings { name, .. }: &QueueSettings| {
            let problem = check_queue_name(name).err()?;
            Some(format!("the name {name:?} {problem}"))
        };
        report.refuse_if("queues", self.queues.iter().find_map(problem));
        if self.profiles.iter().any(String::is_empty) {
            report.refuse(&["profiles"], "must not have an empty name in it");
        }
        let is_empty = |word: &Option<String>| word.as_deref() == Some("");
        let mut queues = self.queues.iter();
        if queues.any(|queue| is_empty(&queue.profile) || is_empty(&queue.region)) {
            report.refuse(
                &["queues"],
                "must not have an empty profile or region: leave it out",
            );
        }
        self.check_twice(report);
        self.check_unused(report);
    }

    /// Refuses duplicates, which would hide messages from each other.
    fn check_twice(&self, report: &mut SettingsReport) {
        let mut seen = HashSet::new();
        let mut queues = self.all_queues().into_iter();
        let mut is_new = |queue: &QueueSettings| {
            let pool = None;
            seen.insert(QueueSettings {
                pool,
                ..queue.clone()
            })
        };
        if let Some(twice) = queues.find(|queue| !is_new(queue)) {
            let is_listed = self.queues.contains(&twice);
            let key = if is_listed { "queues" } else { "profiles" };
            report.refuse(
                &[key, "queue_name", "region", "profiles"],
                format!("has {twice} twice"),
            );
        }
    }

    fn check_unused(&self, report: &mut SettingsReport) {
        let problem = "is ignored, because sqs.queue_name is not set";
        let unused = [
            ("region", self.region.is_some()),
            ("profiles", !self.profiles.is_empty()),
        ];
        for (key, is_set) in unused {
            if is_set && self.queue_name.is_none() {
                report.warn(&[key, "queue_name"], problem);
            }
        }
    }

    /// All queues, beginning with those from the single keys.
    pub fn all_queues(&self) -> Vec<QueueSettings> {
        let queue = |name: &String, profile: Option<&String>| QueueSettings {
            name: name.clone(),
            region: self.region.clone(),
            profile: profile.cloned(),
            pool: None,
        };
        let mut queues = Vec::new();
        if let Some(name) = &self.queue_name {
            queues.extend(
                self.profiles
                    .iter()
                    .map(|profile| queue(name, Some(profile))),
            );
            if queues.is_empty() {
                queues.push(queue(name, None));
            }
        }
        queues.extend(self.queues.iter().cloned());
        queues
    }
}

/// Refuses invalid names for queues that clients write to.
fn check_queue_name(name: &str) -> Result<(), InvalidQueueName> {
    if !is_name(name) {
        return Err(InvalidQueueName::Form);
    }
    if name.starts_with(REPLY_QUEUES) {
        return Err(InvalidQueueName::ReplyQueue);
    }
    Ok(())
}

impl fmt::Display for QueueSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "queue {}", self.name)?;
        match &self.profile {
            Some(profile) => write!(formatter, ", profile {profile}")?,
            None => formatter.write_str(", default credentials")?,
        }
        match &self.region {
            Some(region) => write!(formatter, ", region {region}"),
            None => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_name: None,
            region: None,
            profiles: Vec::new(),
            concurrency: 256,
            sweep: true,
            queues: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, profile: Option<&str>) -> QueueSettings {
        QueueSettings {
            name: name.to_owned(),
            region: Some("eu-west-1".to_owned()),
            profile: profile.map(ToOwned::to_owned),
            pool: None,
        }
    }

    #[test]
    fn the_single_keys_name_a_queue_for_each_profile() {
        let mut settings = Settings {
            queue_name: Some("a".to_owned()),
            region: Some("eu-west-1".to_owned()),
            queues: vec![named("b", Some("three"))],
            ..Settings::default()
        };
        let more = named("b", Some("three"));
        let expected = [named("a", None), more.clone()];
        assert_eq!(settings.all_queues(), expected);
        settings.profiles = vec!["one".to_owned(), "two".to_owned()];
        let expected = [named("a", Some("one")), named("a", Some("two")), more];
        assert_eq!(settings.all_queues(), expected);
        assert_eq!(Settings::default().all_queues(), []);
    }

    #[test]
    fn a_queue_is_told_by_all_that_finds_it() {
        let said = named("a", Some("one")).to_string();
        assert_eq!(said, "queue a, profile one, region eu-west-1");
        let queue = QueueSettings {
            region: None,
            ..named("a", None)
        };
        assert_eq!(queue.to_string(), "queue a, default credentials");
    }

    #[test]
    fn names_that_sqs_has_not_or_the_sweep_deletes_are_refused() {
        let longest = "a".repeat(80);
        for name in ["a", "snowflake-broker", "A_1", &longest] {
            assert_eq!(check_queue_name(name), Ok(()), "{name}");
        }
        let too_long = "a".repeat(81);
        for name in ["", "a b", "a.fifo", "\u{fc}", &too_long] {
            let refused = Err(InvalidQueueName::Form);
            assert_eq!(check_queue_name(name), refused, "{name}");
        }
        let reply = check_queue_name("snowflake-client-1");
        assert_eq!(reply, Err(InvalidQueueName::ReplyQueue));
    }
}

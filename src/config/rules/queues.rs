//! Which queues clients may write to.

use std::collections::HashSet;

use super::Rules;
use crate::sqs::check_queue_name;

const NAME: &str = "sqs.queue_name";
const REGION: &str = "sqs.region";
const PROFILES: &str = "sqs.profiles";
const QUEUES: &str = "sqs.queues";

pub(super) fn check(rules: &mut Rules<'_>) {
    names(rules);
    empty_words(rules);
    repeated(rules);
    useless(rules);
}

fn names(rules: &mut Rules<'_>) {
    let sqs = &rules.config.sqs;
    if let Some(name) = &sqs.queue_name
        && let Err(problem) = check_queue_name(name)
    {
        rules.refuse(&[NAME], problem.to_string());
    }
    let problem = |name: &String| {
        let problem = check_queue_name(name).err()?;
        Some(format!("the name {name:?} {problem}"))
    };
    if let Some(problem) = sqs.queues.iter().find_map(|queue| problem(&queue.name)) {
        rules.refuse(&[QUEUES], problem);
    }
}

fn empty_words(rules: &mut Rules<'_>) {
    let sqs = &rules.config.sqs;
    if sqs.profiles.iter().any(String::is_empty) {
        rules.refuse(&[PROFILES], "a profile's name is empty");
    }
    let is_empty = |word: &Option<String>| word.as_deref() == Some("");
    let mut queues = sqs.queues.iter();
    if queues.any(|queue| is_empty(&queue.profile) || is_empty(&queue.region)) {
        rules.refuse(&[QUEUES], "a profile or region is empty: leave it out");
    }
}

/// Of two that are the same each would hide the other's messages from it.
fn repeated(rules: &mut Rules<'_>) {
    let mut seen = HashSet::new();
    let mut queues = rules.config.sqs.all_queues().into_iter();
    if let Some(twice) = queues.find(|queue| !seen.insert(queue.clone())) {
        let key = if rules.config.sqs.queues.contains(&twice) {
            QUEUES
        } else {
            PROFILES
        };
        rules.refuse(
            &[key, NAME, REGION, PROFILES],
            format!("{twice} is there twice"),
        );
    }
}

fn useless(rules: &mut Rules<'_>) {
    let sqs = &rules.config.sqs;
    if sqs.queue_name.is_some() {
        return;
    }
    let problem = "is ignored, as sqs.queue_name is not set";
    if sqs.region.is_some() {
        rules.warn(&[REGION, NAME], problem);
    }
    if !sqs.profiles.is_empty() {
        rules.warn(&[PROFILES, NAME], problem);
    }
}

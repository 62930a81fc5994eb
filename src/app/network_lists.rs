//! The files of networks that rules of the policy name.

use std::sync::Arc;

use anyhow::Context as _;

use crate::policy::{NetworkList, NetworkLists, Policy, Settings};

use super::files;

/// The policy with the files that its rules name.
///
/// # Errors
/// Returns an error for each file that cannot be read or is wrong, with the rule that names
/// it.
pub(super) fn read(settings: &Settings) -> Result<Policy, Vec<anyhow::Error>> {
    let mut lists = NetworkLists::new();
    let mut wrong = Vec::new();
    for (rule, path) in settings.network_files() {
        let key = format!("policy.rules.{rule}.networks");
        let list = files::read_text(&key, path)
            .and_then(|text| NetworkList::parse(&text).with_context(|| files::named(&key, path)));
        match list {
            Ok(list) => drop(lists.insert(path.to_owned(), Arc::new(list))),
            Err(error) => wrong.push(error),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Policy::new(settings.clone(), &lists))
}

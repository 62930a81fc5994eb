//! Conversions of bridges, for the administration and its client.

use std::collections::BTreeSet;

use tonic::Status;

use super::violations::{Violations, invalid};
use crate::bridges::health::Health;
use crate::bridges::{AddressState, BridgeAddress, BridgeHealth, BridgeList, WEIGHTS};
use crate::proto::admin::v1;
use crate::report::SettingsReport;
use crate::wire::fingerprint::Fingerprint;

/// The messages of all addresses, without their health.
pub(crate) fn messages(bridges: &BridgeList) -> Vec<v1::Bridge> {
    let addresses = bridges.addresses().into_iter();
    addresses
        .map(|(fingerprint, address)| message(fingerprint, address))
        .collect()
}

/// The message of an address with its health.
pub(super) fn with_health(
    bridges: &BridgeList,
    fingerprint: Fingerprint,
    address: &BridgeAddress,
    health: &BridgeHealth,
) -> v1::Bridge {
    let failure = health.failure(&address.relay_url);
    let health_of_it = match health.health(&address.relay_url) {
        Health::Unknown => v1::BridgeHealth::Unspecified,
        Health::Well => v1::BridgeHealth::Well,
        Health::Ailing => v1::BridgeHealth::Ailing,
    };
    v1::Bridge {
        health: health_of_it.into(),
        probe_failure: failure.map_or_else(String::new, |failure| failure.to_string()),
        is_taken_out: bridges.is_taken_out(fingerprint, address, health),
        ..message(fingerprint, address)
    }
}

fn message(fingerprint: Fingerprint, address: &BridgeAddress) -> v1::Bridge {
    let state = match address.state {
        AddressState::Up => v1::BridgeState::Up,
        AddressState::Drain => v1::BridgeState::Drain,
        AddressState::Down => v1::BridgeState::Down,
    };
    v1::Bridge {
        fingerprint: fingerprint.to_string(),
        relay_url: address.relay_url.to_string(),
        display_name: address.display_name.clone(),
        weight: Some(address.weight),
        state: state.into(),
        ..v1::Bridge::default()
    }
}

/// The bridges of these messages, whose health is ignored.
///
/// # Errors
/// Names each invalid field, such as `bridges[2].relay_url`.
pub(crate) fn read(asked: &[v1::Bridge]) -> Result<BridgeList, Status> {
    if asked.is_empty() {
        return Err(invalid(
            "bridges",
            "there is none: no client could be served",
        ));
    }
    let mut violations = Violations::default();
    let mut read = Vec::new();
    for (index, asked) in asked.iter().enumerate() {
        let mut add = |field: &str, problem: String| {
            violations.add(format!("bridges[{index}].{field}"), problem);
        };
        read.extend(read_address(asked, &mut add));
    }
    repetitions(asked, &mut violations);
    violations.into_result()?;
    Ok(read.into_iter().collect())
}

/// The address of a message; `None` if a field is invalid, which is added.
fn read_address(
    asked: &v1::Bridge,
    add: &mut impl FnMut(&str, String),
) -> Option<(Fingerprint, BridgeAddress)> {
    let mut keep = |field: &str, problem: String| add(field, problem);
    let fingerprint = fingerprint(&asked.fingerprint)
        .map_err(|problem| keep("fingerprint", problem))
        .ok();
    let address = BridgeAddress::new(asked.display_name.clone(), &asked.relay_url)
        .map_err(|problem| keep("relay_url", problem.to_string()))
        .ok();
    let weight = asked.weight.map(weight).transpose();
    let weight = weight.map_err(|problem| keep("weight", problem)).ok();
    let state = state(asked.state);
    let state = state.map_err(|problem| keep("state", problem)).ok();
    let (fingerprint, address, weight, state) = (fingerprint?, address?, weight?, state?);
    let address = BridgeAddress {
        weight: weight.unwrap_or(address.weight),
        state: state.unwrap_or(address.state),
        ..address
    };
    Some((fingerprint, address))
}

/// Adds what is in the list twice, by the rule for lines of a bridge list.
fn repetitions(asked: &[v1::Bridge], violations: &mut Violations) {
    let named = || {
        let numbered = asked.iter().enumerate();
        numbered.filter_map(|(index, bridge)| {
            Some((index, fingerprint(&bridge.fingerprint).ok()?, bridge))
        })
    };
    let is_extended = |bridge: &v1::Bridge| bridge.weight.is_some() || bridge.state != 0;
    let extended: BTreeSet<Fingerprint> = named()
        .filter(|(_, _, bridge)| is_extended(bridge))
        .map(|(_, by, _)| by)
        .collect();
    let (mut fingerprints, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (index, by, bridge) in named() {
        let has_new_fingerprint = fingerprints.insert(by);
        let has_new_address = addresses.insert((by, &bridge.relay_url));
        if !has_new_fingerprint && !extended.contains(&by) {
            let path = format!("bridges[{index}].fingerprint");
            violations.add(path, "is in the list twice, without a weight or a state");
        } else if !has_new_address {
            let path = format!("bridges[{index}].relay_url");
            violations.add(path, "is in the list twice for this bridge");
        }
    }
}

pub(super) fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let fingerprint = text.parse();
    fingerprint.map_err(|_| "is not 40 or 64 hexadecimal digits".to_owned())
}

pub(super) fn weight(weight: f64) -> Result<f64, String> {
    let mut report = SettingsReport::default();
    report.within("weight", weight, &WEIGHTS);
    match report.errors.first() {
        Some(issue) => Err(issue.to_string()),
        None => Ok(weight),
    }
}

/// The state of this number; `None` if it is unspecified.
pub(super) fn state(number: i32) -> Result<Option<AddressState>, String> {
    match v1::BridgeState::try_from(number) {
        Ok(v1::BridgeState::Unspecified) => Ok(None),
        Ok(v1::BridgeState::Up) => Ok(Some(AddressState::Up)),
        Ok(v1::BridgeState::Drain) => Ok(Some(AddressState::Drain)),
        Ok(v1::BridgeState::Down) => Ok(Some(AddressState::Down)),
        Err(_) => Err(format!("must be UP, DRAIN or DOWN (got {number})")),
    }
}

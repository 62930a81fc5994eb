//! The bridge list: reading and replacing it.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use tonic::{Code, Status};

use super::operations::{Operations, WriteBridgesError};
use crate::bridges::{Bridge, BridgeList};
use crate::broker::{Broker, Directory};
use crate::grpc::pages::ListPage;
use crate::grpc::violations::{Violations, invalid};
use crate::proto::admin::v1;
use crate::wire::fingerprint::Fingerprint;

/// A page of the bridge list.
pub(super) fn list(
    broker: &Broker,
    asked: &v1::ListBridgesRequest,
) -> Result<v1::ListBridgesResponse, Status> {
    let directory = broker.directory();
    let etag = etag(&directory.bridges);
    let page = ListPage::asked(asked.page_size, &asked.page_token, &etag)?;
    let bridges = (0..).zip(directory.bridges.sorted());
    let (bridges, next_page_token) = page.of(bridges, |(number, _)| *number);
    let bridges = bridges.into_iter().map(|(_, (by, bridge))| v1::Bridge {
        fingerprint: by.to_string(),
        relay_url: bridge.relay_url.to_string(),
        display_name: bridge.display_name.clone(),
    });
    Ok(v1::ListBridgesResponse {
        bridges: bridges.collect(),
        next_page_token,
        etag,
        warnings: warnings(&directory.bridges, &directory),
    })
}

/// Warnings about these bridges under the current relay pattern.
pub(super) fn warnings(bridges: &BridgeList, directory: &Directory) -> Vec<String> {
    let doubts = bridges.doubts(&directory.allowed_relay_pattern);
    doubts.iter().map(ToString::to_string).collect()
}

/// Replaces the bridge list.
pub(super) async fn replace(
    broker: &Broker,
    operations: &dyn Operations,
    asked: &v1::ReplaceBridgesRequest,
) -> Result<v1::ReplaceBridgesResponse, Status> {
    let bridges = read(&asked.bridges)?;
    let before = broker.directory();
    if !asked.etag.is_empty() && asked.etag != etag(&before.bridges) {
        return Err(Status::aborted("etag: the list has changed since"));
    }
    let replaced = v1::ReplaceBridgesResponse {
        replaced_count: number(&before.bridges),
        bridge_count: number(&bridges),
        etag: etag(&bridges),
        warnings: warnings(&bridges, &before),
    };
    if asked.validate_only {
        return Ok(replaced);
    }
    if asked.write_back {
        let written = operations.write_bridges(bridges.to_lines()).await;
        written.map_err(|error| unwritten(&error))?;
    }
    broker
        .control()
        .update_directory(|directory| directory.bridges = bridges.clone());
    Ok(replaced)
}

fn read(asked: &[v1::Bridge]) -> Result<BridgeList, Status> {
    if asked.is_empty() {
        return Err(invalid(
            "bridges",
            "there is none: no client could be served",
        ));
    }
    let mut violations = Violations::default();
    let mut seen = BTreeSet::new();
    let mut bridges = Vec::new();
    for (index, asked) in asked.iter().enumerate() {
        let path = |field: &str| format!("bridges[{index}].{field}");
        let fingerprint = asked.fingerprint.parse::<Fingerprint>();
        let bridge = Bridge::new(asked.display_name.clone(), &asked.relay_url);
        match &fingerprint {
            Err(_) => violations.add(path("fingerprint"), "is not 40 or 64 hexadecimal digits"),
            Ok(fingerprint) if !seen.insert(*fingerprint) => {
                violations.add(path("fingerprint"), "is in the list twice");
            }
            Ok(_) => {}
        }
        if bridge.is_err() {
            violations.add(path("relay_url"), "must be a ws:// or wss:// URL");
        }
        if let (Ok(fingerprint), Ok(bridge)) = (fingerprint, bridge) {
            bridges.push((fingerprint, bridge));
        }
    }
    violations.into_result()?;
    Ok(bridges.into_iter().collect())
}

fn unwritten(error: &WriteBridgesError) -> Status {
    let code = match error {
        WriteBridgesError::NoPath => Code::FailedPrecondition,
        WriteBridgesError::Io(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

fn number(bridges: &BridgeList) -> i32 {
    i32::try_from(bridges.sorted().len()).unwrap_or(i32::MAX)
}

/// The identity of the list's content, independent of its order.
fn etag(bridges: &BridgeList) -> String {
    let digest = digest(&SHA256, bridges.to_lines().as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

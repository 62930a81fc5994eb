//! The bridge list: reading, replacing and changing it.

use aws_lc_rs::digest::{SHA256, digest};
use tonic::{Code, Status};

use super::operations::{Operations, WriteBridgesError};
use crate::bridges::{AddressChange, BridgeList};
use crate::broker::{Broker, Directory};
use crate::grpc::bridge_messages::{self, read, with_health};
use crate::grpc::pages::ListPage;
use crate::grpc::update::Update;
use crate::grpc::violations::invalid;
use crate::proto::admin::v1;

/// The fields that [`set`] changes.
const FIELDS: [&str; 2] = ["weight", "state"];

/// A page of the bridge list.
pub(super) fn list(
    broker: &Broker,
    asked: &v1::ListBridgesRequest,
) -> Result<v1::ListBridgesResponse, Status> {
    let (directory, health) = (broker.directory(), broker.control().bridge_health());
    let etag = etag(&directory.bridges);
    let page = ListPage::asked(asked.page_size, &asked.page_token, &etag)?;
    let addresses = (0..).zip(directory.bridges.addresses());
    let (addresses, next_page_token) = page.of(addresses, |(number, _)| *number);
    let bridges = addresses
        .into_iter()
        .map(|(_, (by, address))| with_health(&directory.bridges, by, address, &health));
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
    expect_etag(&asked.etag, &before.bridges)?;
    let replaced = v1::ReplaceBridgesResponse {
        replaced_count: number(&before.bridges),
        bridge_count: number(&bridges),
        etag: etag(&bridges),
        warnings: warnings(&bridges, &before),
    };
    if !asked.validate_only {
        put_in_force(broker, operations, bridges, asked.write_back).await?;
    }
    Ok(replaced)
}

/// The request that makes the bridges in force those of another node.
pub(super) fn whole(broker: &Broker) -> v1::ReplaceBridgesRequest {
    v1::ReplaceBridgesRequest {
        bridges: bridge_messages::messages(&broker.directory().bridges),
        ..v1::ReplaceBridgesRequest::default()
    }
}

/// Changes addresses of a bridge. Returns the new values for the log, too.
pub(super) async fn set(
    broker: &Broker,
    operations: &dyn Operations,
    asked: &v1::SetBridgeRequest,
) -> Result<(v1::SetBridgeResponse, String), Status> {
    let sent = asked.bridge.clone().unwrap_or_default();
    let fingerprint = bridge_messages::fingerprint(&sent.fingerprint)
        .map_err(|problem| invalid("bridge.fingerprint", problem))?;
    let change = change(asked, &sent)?;
    let before = broker.directory();
    expect_etag(&asked.etag, &before.bridges)?;
    let mut bridges = before.bridges.clone();
    let relay_url = Some(&*sent.relay_url).filter(|url| !url.is_empty());
    if bridges.change(fingerprint, relay_url, change) == 0 {
        return Err(Status::not_found(
            "no bridge has this fingerprint and address",
        ));
    }
    let health = broker.control().bridge_health();
    let addresses = bridges.addresses().into_iter();
    let of_bridge = addresses.filter(|(by, _)| *by == fingerprint);
    let result = v1::SetBridgeResponse {
        bridges: of_bridge
            .map(|(by, address)| with_health(&bridges, by, address, &health))
            .collect(),
        etag: etag(&bridges),
        warnings: warnings(&bridges, &before),
    };
    let values = new_values(change, &before.bridges, &bridges);
    if !asked.validate_only {
        put_in_force(broker, operations, bridges, asked.write_back).await?;
    }
    Ok((result, values))
}

/// The new weight and state of the addresses that changed, by their names: the log has no URLs.
fn new_values(change: AddressChange, before: &BridgeList, after: &BridgeList) -> String {
    let weight = change.weight.map(|weight| format!("weight = {weight}"));
    let state = change.state.map(|state| format!("state = {state}"));
    let values: Vec<String> = weight.into_iter().chain(state).collect();
    let values = values.join(", ");
    let [before, after] = [before, after].map(BridgeList::addresses);
    let pairs = before.into_iter().zip(after);
    let changed = pairs.filter(|((_, old), (_, new))| old != new);
    let lines = changed.map(|(_, (_, address))| format!("{:?}: {values}", address.display_name));
    lines.collect::<Vec<_>>().join("; ")
}

fn change(asked: &v1::SetBridgeRequest, sent: &v1::Bridge) -> Result<AddressChange, Status> {
    let mut change = AddressChange::default();
    let mut update = Update::new("bridge", &FIELDS, asked.update_mask.as_ref());
    let weight = |weight| bridge_messages::weight(weight).map(Some);
    update.set("weight", sent.weight, weight, &mut change.weight);
    let state = (sent.state != 0).then_some(sent.state);
    update.set("state", state, bridge_messages::state, &mut change.state);
    update.finish_checked()?;
    Ok(change)
}

async fn put_in_force(
    broker: &Broker,
    operations: &dyn Operations,
    bridges: BridgeList,
    write_back: bool,
) -> Result<(), Status> {
    if write_back {
        let written = operations.write_bridges(bridges.to_lines()).await;
        written.map_err(|error| unwritten(&error))?;
    }
    broker
        .control()
        .update_directory(|directory| directory.bridges = bridges);
    Ok(())
}

fn expect_etag(asked: &str, bridges: &BridgeList) -> Result<(), Status> {
    if asked.is_empty() || asked == etag(bridges) {
        return Ok(());
    }
    Err(Status::aborted("etag: the list has changed since"))
}

fn unwritten(error: &WriteBridgesError) -> Status {
    let code = match error {
        WriteBridgesError::NoPath => Code::FailedPrecondition,
        WriteBridgesError::Io(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

fn number(bridges: &BridgeList) -> i32 {
    i32::try_from(bridges.count()).unwrap_or(i32::MAX)
}

/// The identity of the list's content, independent of its order.
fn etag(bridges: &BridgeList) -> String {
    let digest = digest(&SHA256, bridges.to_lines().as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

//! The changes that hold for all nodes of a cluster. Each travels as the request that makes
//! it, with all values of its kind.

use prost::Message;
use tonic::Status;

use super::operations::{Operations, Overrides};
use super::{bridges, limits, policy, settings, supply};
use crate::broker::Broker;
use crate::proto::admin::v1;

pub(super) const BRIDGES: &str = "bridges";
pub(super) const POLL_INTERVALS: &str = "poll_intervals";
pub(super) const RELAY_POLICY: &str = "relay_policy";
pub(super) const LIMITS: &str = "limits";
pub(super) const SUPPLY: &str = "supply";
pub(super) const POLICY: &str = "policy";

/// Puts a change of another node in force.
///
/// # Errors
/// The request is not one, or this broker cannot have these values, for example because its
/// configuration does not name a file that a rule of the policy asks for.
pub async fn apply(
    broker: &Broker,
    operations: &dyn Operations,
    name: &str,
    request: &[u8],
) -> Result<(), Status> {
    let before = operations.config();
    let overrides = match name {
        BRIDGES => {
            bridges::replace(broker, operations, &decode(request)?).await?;
            Overrides::new()
        }
        POLL_INTERVALS => settings::set_poll_intervals(broker, &decode(request)?)?.1,
        RELAY_POLICY => settings::set_relay_policy(broker, &decode(request)?)?.1,
        LIMITS => limits::set(broker, operations, &decode(request)?)?.1,
        SUPPLY => supply::set(broker, &decode::<v1::SetSupplyRequest>(request)?)?.1,
        POLICY => policy::set(broker, &decode(request)?)?.1,
        _ => return Err(Status::unimplemented("this release does not know of it")),
    };
    operations.note_overrides(other(overrides, &before));
    Ok(())
}

/// The values that are not as they were: the request has all values of its kind.
fn other(mut overrides: Overrides, before: &[v1::Setting]) -> Overrides {
    overrides.retain(|key, value| {
        let mut settings = before.iter();
        let is_same = settings.any(|setting| setting.key == *key && setting.value == *value);
        !is_same
    });
    overrides
}

fn decode<M: Message + Default>(request: &[u8]) -> Result<M, Status> {
    M::decode(request).map_err(|_| Status::invalid_argument("not a request"))
}

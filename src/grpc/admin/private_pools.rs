//! Private pools.

use std::time::SystemTime;

use tonic::Status;

use super::operations::{Operations, PoolRefused};
use crate::broker::Broker;
use crate::broker::private_pools::PrivatePool;
use crate::broker::private_pools::settings::{PoolSettings, ToPublic};
use crate::grpc::convert::{count, timestamp, total};
use crate::grpc::violations::invalid;
use crate::metrics::labels::ClientOutcome;
use crate::proto::admin::v1;

/// All pools, by name.
pub(super) fn list(broker: &Broker) -> v1::ListPrivatePoolsResponse {
    let pools = broker.control().private_pools();
    v1::ListPrivatePoolsResponse {
        private_pools: pools.iter().map(|pool| message(pool)).collect(),
    }
}

/// Creates a pool.
pub(super) async fn create(
    broker: &Broker,
    operations: &dyn Operations,
    request: &v1::CreatePrivatePoolRequest,
) -> Result<v1::CreatePrivatePoolResponse, Status> {
    let asked = request.private_pool.clone().unwrap_or_default();
    let settings = settings(&asked)?;
    let created = operations.create_private_pool(settings, request.validate_only);
    let token = created.await.map_err(|refused| refusal(&refused))?;
    let pools = broker.control().private_pools();
    let Some(pool) = pools
        .iter()
        .find(|pool| pool.name.to_string() == asked.name)
    else {
        return Ok(v1::CreatePrivatePoolResponse {
            private_pool: Some(asked),
            ..v1::CreatePrivatePoolResponse::default()
        });
    };
    let directory = pool.broker.directory();
    let mut bridges = directory.bridges.taking_clients();
    Ok(v1::CreatePrivatePoolResponse {
        private_pool: Some(message(pool)),
        token,
        bridge_fingerprint: bridges.next().map_or_else(String::new, |it| it.to_string()),
        allowed_relay_pattern: directory.allowed_relay_pattern.to_string(),
    })
}

/// Removes a pool.
pub(super) async fn delete(
    operations: &dyn Operations,
    request: &v1::DeletePrivatePoolRequest,
) -> Result<v1::DeletePrivatePoolResponse, Status> {
    let deleted = operations.delete_private_pool(&request.name).await;
    deleted.map_err(|refused| refusal(&refused))?;
    Ok(v1::DeletePrivatePoolResponse {})
}

fn message(pool: &PrivatePool) -> v1::PrivatePool {
    let (settings, figures) = (pool.settings(), pool.figures());
    let clients = figures.totals.client_outcomes;
    let matched = clients[ClientOutcome::Matched as usize];
    v1::PrivatePool {
        name: pool.name.to_string(),
        expire_time: settings.end().map(timestamp),
        overflow: settings.overflow == ToPublic::ToPublic,
        spare: settings.spare == ToPublic::ToPublic,
        reserve: Some(shown(settings.reserve)),
        max_parked_polls: Some(shown(settings.max_parked_polls)),
        clients_per_minute: Some(settings.clients_per_minute.get()),
        configured: pool.is_configured(),
        parked_polls: count(figures.parked),
        queued_clients: count(figures.queued),
        matched_clients: total(matched),
        unserved_clients: total(clients.iter().sum::<u64>() - matched),
    }
}

fn settings(asked: &v1::PrivatePool) -> Result<PoolSettings, Status> {
    let mut settings = PoolSettings::named(asked.name.clone());
    let to_public = |may: bool| {
        if may {
            ToPublic::ToPublic
        } else {
            ToPublic::None
        }
    };
    settings.overflow = to_public(asked.overflow);
    settings.spare = to_public(asked.spare);
    if let Some(reserve) = asked.reserve {
        settings.reserve = number(reserve);
    }
    if let Some(polls) = asked.max_parked_polls {
        settings.max_parked_polls = number(polls);
    }
    if let Some(clients) = asked.clients_per_minute {
        let rate = clients.try_into();
        let problem = |_| invalid("private_pool.clients_per_minute", "must be 1 or more");
        settings.clients_per_minute = rate.map_err(problem)?;
    }
    if let Some(end) = &asked.expire_time {
        let is_time = SystemTime::try_from(*end).is_ok();
        let is_later = is_time && {
            settings.expires = Some(end.to_string());
            !settings.has_ended(crate::broker::clock::wall_clock())
        };
        if !is_later {
            let problem = "must be a time to come";
            return Err(invalid("private_pool.expire_time", problem));
        }
    }
    match settings.problem() {
        Some(problem) => Err(invalid(
            "private_pool",
            format!("{:?} {problem}", asked.name),
        )),
        None => Ok(settings),
    }
}

fn shown(count: usize) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

fn number(count: u32) -> usize {
    count.try_into().unwrap_or(usize::MAX)
}

fn refusal(refused: &PoolRefused) -> Status {
    let text = refused.to_string();
    match refused {
        PoolRefused::NoFile | PoolRefused::Configured => Status::failed_precondition(text),
        PoolRefused::TooMany => Status::resource_exhausted(text),
        PoolRefused::Exists => Status::already_exists(text),
        PoolRefused::Unknown => Status::not_found(text),
        PoolRefused::Io(_) => Status::unavailable(text),
    }
}

//! The calls about private pools.

use std::num::NonZeroU32;

use crate::proto::admin::v1;

use super::arguments::{PoolArgs, PoolsCall};
use super::connection::{AuthorizedClient, RemoteBroker};
use super::failure::Failure;
use super::output::Printer;
use super::text;

/// Makes a call about private pools.
pub(super) async fn make(
    call: &PoolsCall,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    match call {
        PoolsCall::List => {
            let request = v1::ListPrivatePoolsRequest {};
            let call = AuthorizedClient::list_private_pools;
            output.show(&broker.call(call, request).await?, text::pools)
        }
        PoolsCall::Create(asked) => create(asked, broker, output).await,
        PoolsCall::Revoke { name } => {
            let request = v1::DeletePrivatePoolRequest { name: name.clone() };
            let call = AuthorizedClient::delete_private_pool;
            let deleted = broker.call(call, request).await?;
            output.show(&deleted, |_| format!("{name} is no more\n"))
        }
    }
}

async fn create(
    asked: &PoolArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let request = v1::CreatePrivatePoolRequest {
        private_pool: Some(v1::PrivatePool {
            name: asked.name.clone(),
            expire_time: asked.expires,
            overflow: asked.overflow,
            spare: asked.spare,
            reserve: asked.reserve,
            max_parked_polls: asked.max_parked_polls,
            clients_per_minute: asked.clients_per_minute.map(NonZeroU32::get),
            ..v1::PrivatePool::default()
        }),
        validate_only: asked.dry_run,
    };
    let call = AuthorizedClient::create_private_pool;
    let created = broker.call(call, request).await?;
    output.show(&created, |created| {
        text::created_pool(created, &asked.url, &asked.stun)
    })
}

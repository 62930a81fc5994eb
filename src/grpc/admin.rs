//! The service `snowflake.broker.admin.v1.Admin`. Each call that changes something
//! requires an operator, and logs the operator and the change.

mod bridges;
mod change;
mod filter;
mod impact;
mod limits;
mod log_filter;
mod nodes;
pub mod operations;
mod parked_polls;
mod peers;
mod policy;
mod private_pools;
mod settings;
pub mod shared;
mod sources;
mod stats;
mod status;
mod supply;

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::Mutex;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt as _};

use super::auth::Principal;
use super::convert::timestamp;
use super::violations::span_within;
use crate::broker::{Broker, clock};
use crate::listener::Closing;
use crate::proto::admin::v1;
use crate::proto::admin::v1::admin_server::Admin;

use change::Change;
use operations::{Operations, Overrides, WrongPart};

/// The bounds of the grace period of a drain.
const DRAIN_GRACES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

/// Handles the calls of operators and viewers.
pub struct AdminService {
    broker: Arc<Broker>,
    operations: Arc<dyn Operations>,
    /// Held during a change, so that each change sees the result of the previous one.
    changes: Mutex<()>,
    /// Cancelled when the broker stops, so that no call delays it.
    closing: Closing,
}

impl AdminService {
    /// A service for this broker, until `closing` ends it.
    pub fn new(broker: Arc<Broker>, operations: Arc<dyn Operations>, closing: Closing) -> Self {
        Self {
            broker,
            operations,
            changes: Mutex::default(),
            closing,
        }
    }

    /// Begins a change by an operator, after any change in progress.
    async fn change<T>(&self, request: &Request<T>) -> Result<Change<'_>, Status> {
        let principal = Principal::operator(request)?;
        Ok(Change::new(principal, self.changes.lock().await))
    }

    /// Records and logs the new settings, unless the request was only to be validated.
    fn set(&self, change: &Change, validate_only: bool, what: &str, overrides: Overrides) {
        if validate_only {
            return;
        }
        let values = overrides
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect::<Vec<_>>()
            .join(", ");
        change.set(what, &values);
        self.operations.note_overrides(overrides);
    }

    /// Has a change hold for all nodes of a cluster, unless it was only to be validated.
    fn share(&self, validate_only: bool, name: &str, request: &impl Message) {
        if !validate_only {
            self.operations.share(name, request.encode_to_vec());
        }
    }

    fn share_bridges(&self, validate_only: bool) {
        let bridges = bridges::whole(&self.broker);
        self.share(validate_only, shared::BRIDGES, &bridges);
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::BrokerStatus>, Status> {
        Ok(Response::new(status::status(&self.broker)))
    }

    type WatchStatusStream = Statuses;

    async fn watch_status(
        &self,
        request: Request<v1::WatchStatusRequest>,
    ) -> Result<Response<Statuses>, Status> {
        let (broker, closing) = (Arc::clone(&self.broker), self.closing.clone());
        let statuses = status::watch(broker, request.into_inner().interval, closing)?;
        Ok(Response::new(Box::pin(statuses)))
    }

    async fn list_parked_polls(
        &self,
        request: Request<v1::ListParkedPollsRequest>,
    ) -> Result<Response<v1::ListParkedPollsResponse>, Status> {
        parked_polls::list(&self.broker, request.get_ref()).map(Response::new)
    }

    async fn get_stats(
        &self,
        _: Request<v1::GetStatsRequest>,
    ) -> Result<Response<v1::Stats>, Status> {
        let now = clock::wall_clock();
        Ok(Response::new(stats::stats(self.broker.metrics(), now)))
    }

    async fn list_bridges(
        &self,
        request: Request<v1::ListBridgesRequest>,
    ) -> Result<Response<v1::ListBridgesResponse>, Status> {
        bridges::list(&self.broker, request.get_ref()).map(Response::new)
    }

    async fn replace_bridges(
        &self,
        request: Request<v1::ReplaceBridgesRequest>,
    ) -> Result<Response<v1::ReplaceBridgesResponse>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let replaced = bridges::replace(&self.broker, &*self.operations, asked).await?;
        let what = format!("{} bridges replaced", replaced.bridge_count);
        change.made(asked.validate_only, &what);
        self.share_bridges(asked.validate_only);
        Ok(Response::new(replaced))
    }

    async fn set_bridge(
        &self,
        request: Request<v1::SetBridgeRequest>,
    ) -> Result<Response<v1::SetBridgeResponse>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let (bridges, values) = bridges::set(&self.broker, &*self.operations, asked).await?;
        if !asked.validate_only {
            let fingerprint = asked.bridge.as_ref().map(|bridge| &*bridge.fingerprint);
            let what = format!("bridge {} set", fingerprint.unwrap_or_default());
            change.set(&what, &values);
        }
        self.share_bridges(asked.validate_only);
        Ok(Response::new(bridges))
    }

    async fn set_poll_intervals(
        &self,
        request: Request<v1::SetPollIntervalsRequest>,
    ) -> Result<Response<v1::PollIntervals>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let (intervals, overrides) = settings::set_poll_intervals(&self.broker, asked)?;
        self.set(
            &change,
            asked.validate_only,
            "poll intervals set",
            overrides,
        );
        let whole = settings::whole_intervals(intervals);
        self.share(asked.validate_only, shared::POLL_INTERVALS, &whole);
        Ok(Response::new(intervals))
    }

    async fn set_relay_policy(
        &self,
        request: Request<v1::SetRelayPolicyRequest>,
    ) -> Result<Response<v1::RelayPolicy>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let (policy, overrides) = settings::set_relay_policy(&self.broker, asked)?;
        self.set(
            &change,
            asked.validate_only,
            "relay patterns set",
            overrides,
        );
        let whole = settings::whole_relay_policy(&policy);
        self.share(asked.validate_only, shared::RELAY_POLICY, &whole);
        Ok(Response::new(policy))
    }

    async fn set_limits(
        &self,
        request: Request<v1::SetLimitsRequest>,
    ) -> Result<Response<v1::Limits>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let (limits, overrides) = limits::set(&self.broker, &*self.operations, asked)?;
        self.set(&change, asked.validate_only, "limits set", overrides);
        let whole = limits::whole(&limits);
        self.share(asked.validate_only, shared::LIMITS, &whole);
        Ok(Response::new(limits))
    }

    async fn set_supply(
        &self,
        request: Request<v1::SetSupplyRequest>,
    ) -> Result<Response<v1::Supply>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let (supply, overrides) = supply::set(&self.broker, asked)?;
        self.set(&change, asked.validate_only, "shares set", overrides);
        let whole = supply::whole(&supply);
        self.share(asked.validate_only, shared::SUPPLY, &whole);
        Ok(Response::new(supply))
    }

    async fn get_source_distribution(
        &self,
        request: Request<v1::GetSourceDistributionRequest>,
    ) -> Result<Response<v1::SourceDistribution>, Status> {
        sources::distribution(&self.broker, request.get_ref()).map(Response::new)
    }

    async fn get_policy(
        &self,
        _: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        Ok(Response::new(policy::get(&self.broker)))
    }

    async fn set_policy(
        &self,
        request: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let (policy, overrides) = policy::set(&self.broker, asked)?;
        self.set(&change, asked.validate_only, "policy set", overrides);
        let whole = policy::whole(&policy);
        self.share(asked.validate_only, shared::POLICY, &whole);
        Ok(Response::new(policy))
    }

    async fn explain_policy(
        &self,
        request: Request<v1::ExplainPolicyRequest>,
    ) -> Result<Response<v1::ExplainPolicyResponse>, Status> {
        policy::explain(&self.broker, request.get_ref()).map(Response::new)
    }

    async fn get_impact(
        &self,
        _: Request<v1::GetImpactRequest>,
    ) -> Result<Response<v1::Impact>, Status> {
        Ok(Response::new(impact::impact(&self.broker)))
    }

    async fn set_log_filter(
        &self,
        request: Request<v1::SetLogFilterRequest>,
    ) -> Result<Response<v1::LogFilter>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let filter = log_filter::set(&*self.operations, asked)?;
        let what = format!("log filter set to {:?}", asked.filter);
        change.made(asked.validate_only, &what);
        Ok(Response::new(filter))
    }

    async fn reload(
        &self,
        request: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let change = self.change(&request).await?;
        let validate_only = request.get_ref().validate_only;
        let reloaded = self
            .operations
            .reload(validate_only)
            .await
            .map_err(|wrong| unloadable(&wrong))?;
        change.made(validate_only, "reloaded");
        Ok(Response::new(reloaded))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        let change = self.change(&request).await?;
        let grace = request.get_ref().grace;
        let grace = grace
            .map(|grace| span_within("grace", grace, &DRAIN_GRACES))
            .transpose()?;
        let end = self.operations.drain(grace);
        change.made(false, "draining");
        Ok(Response::new(v1::DrainResponse {
            grace_end_time: Some(timestamp(end)),
        }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        let change = self.change(&request).await?;
        if !self.operations.resume() {
            return Err(Status::failed_precondition("the broker is stopping"));
        }
        change.made(false, "matching again");
        Ok(Response::new(v1::ResumeResponse {}))
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::Config>, Status> {
        let prefix = &request.get_ref().key_prefix;
        let mut settings = self.operations.config();
        settings.retain(|setting| setting.key.starts_with(prefix));
        Ok(Response::new(v1::Config { settings }))
    }

    async fn list_nodes(
        &self,
        _: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        Ok(Response::new(nodes::list(&self.broker)))
    }

    async fn list_private_pools(
        &self,
        _: Request<v1::ListPrivatePoolsRequest>,
    ) -> Result<Response<v1::ListPrivatePoolsResponse>, Status> {
        Ok(Response::new(private_pools::list(&self.broker)))
    }

    async fn create_private_pool(
        &self,
        request: Request<v1::CreatePrivatePoolRequest>,
    ) -> Result<Response<v1::CreatePrivatePoolResponse>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let created = private_pools::create(&self.broker, &*self.operations, asked).await?;
        let name = asked.private_pool.as_ref().map(|pool| &*pool.name);
        let what = format!("private pool {} created", name.unwrap_or_default());
        change.made(asked.validate_only, &what);
        Ok(Response::new(created))
    }

    async fn delete_private_pool(
        &self,
        request: Request<v1::DeletePrivatePoolRequest>,
    ) -> Result<Response<v1::DeletePrivatePoolResponse>, Status> {
        let change = self.change(&request).await?;
        let asked = request.get_ref();
        let deleted = private_pools::delete(&*self.operations, asked).await?;
        change.made(false, &format!("private pool {} removed", asked.name));
        Ok(Response::new(deleted))
    }

    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        peers::list(&self.broker, request.get_ref()).map(Response::new)
    }
}

type Statuses = Pin<Box<dyn Stream<Item = Result<v1::BrokerStatus, Status>> + Send>>;

fn unloadable(wrong: &[WrongPart]) -> Status {
    let named = wrong.iter();
    let violations = named.map(|wrong| {
        PreconditionViolation::new("RELOAD", wrong.part.clone(), wrong.problem.clone())
    });
    let details = ErrorDetails::with_precondition_failure(violations.collect::<Vec<_>>());
    let lines = wrong
        .iter()
        .map(|wrong| format!("{}: {}", wrong.part, wrong.problem));
    let message = format!("nothing reloaded: {}", lines.collect::<Vec<_>>().join("; "));
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

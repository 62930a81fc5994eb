//! Parked polls, in the order in which they were parked.

use std::time::{Duration, Instant};

use tonic::Status;

use super::filter::Filter;
use crate::broker::{Broker, ParkedPollDetails, clock};
use crate::grpc::convert::pool;
use crate::grpc::pages::ListPage;
use crate::grpc::violations::invalid;
use crate::proto::admin::v1;
use crate::wire::nat::NatClass;

/// A page of the polls that match the filter.
pub(super) fn list(
    broker: &Broker,
    asked: &v1::ListParkedPollsRequest,
) -> Result<v1::ListParkedPollsResponse, Status> {
    let types = broker.metrics().proxy_types();
    let filter = Filter::parse(&asked.filter, types)
        .map_err(|error| invalid("filter", error.to_string()))?;
    let page = ListPage::asked(asked.page_size, &asked.page_token, &asked.filter)?;
    let now = clock::now();
    let mut polls = broker.control().parked_polls();
    polls.retain(|poll| filter.passes(poll, waiting(poll, now)));
    polls.sort_unstable_by_key(|poll| poll.poll.arrival);
    let (polls, next_page_token) = page.of(polls, |poll| poll.poll.arrival);
    let parked_polls = polls.iter().map(|poll| message(poll, now)).collect();
    Ok(v1::ListParkedPollsResponse {
        parked_polls,
        next_page_token,
    })
}

fn message(parked: &ParkedPollDetails, now: Instant) -> v1::ParkedPoll {
    let poll = parked.poll;
    let waiting_ms = waiting(parked, now).as_millis();
    v1::ParkedPoll {
        r#type: poll.proxy_type.to_string(),
        nat: poll.nat.to_string(),
        pool: pool(NatClass::of(poll.nat)).into(),
        clients: poll.clients,
        country: parked.country.to_string(),
        waiting_ms: i64::try_from(waiting_ms).unwrap_or(i64::MAX),
    }
}

fn waiting(poll: &ParkedPollDetails, now: Instant) -> Duration {
    now.saturating_duration_since(poll.arrived)
}

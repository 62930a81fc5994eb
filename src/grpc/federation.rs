//! The service `snowflake.broker.federation.v1.Federation`, through which peers borrow
//! our proxies. [`Broker::lend`](crate::broker::Broker::lend) decides what they get.
//!
//! [`lender`] is the server. A connection provides the certificate names that the other
//! side has proven. Each call is checked against the peers, so that a name removed from
//! the configuration is refused at once.

mod auth;
mod convert;
mod refusals;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::endpoint::EndpointLimits;
use super::identify::Guarded;
use crate::broker::loan::NotLent;
use crate::broker::{Broker, clock};
use crate::listener::{Closing, KeepAlive, Serve, Server};
use crate::metrics::labels::{LoanRefusal, PeerName};
use crate::peers::protocol::pool_of_word;
use crate::proto::federation::v1;
use crate::proto::federation::v1::federation_server::{Federation, FederationServer};

use refusals::LogRefusals;

pub use auth::PeerAuth;

/// The maximum size of a request, in bytes: an offer and the fields around it.
const REQUEST_MAX: usize = 101 * 1024;
/// The maximum number of concurrent calls per connection: the most offers that a peer may
/// have in flight, plus some room for other calls. The pings free everything that a
/// vanished borrower holds within 4.5 s.
const LIMITS: EndpointLimits = EndpointLimits {
    max_streams: 1_024,
    keep_alive: KeepAlive {
        interval: Duration::from_secs(2),
        timeout: Duration::from_millis(2_500),
    },
};
/// The time limit for a call, including receiving its message: longer than clients wait.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The server for borrowers, which runs until `closing` ends it.
pub fn lender(
    auth: &Arc<PeerAuth>,
    broker: Arc<Broker>,
    health: HealthReporter,
    closing: Closing,
) -> Server<impl Serve> {
    let service = Lender {
        broker,
        auth: Arc::clone(auth),
        closing: closing.clone(),
    };
    let health = HealthServer::new(HealthService::from_health_reporter(health));
    let service = FederationServer::new(service).max_decoding_message_size(REQUEST_MAX);
    let routes = Routes::new(service).add_service(health);
    let logged = LogRefusals::new(routes.into_axum_router(), Arc::clone(auth));
    let service = Guarded::new(logged, Arc::clone(auth), CALL_TIMEOUT);
    auth.server(service, LIMITS, closing)
}

/// Handles the calls of borrowers.
struct Lender {
    broker: Arc<Broker>,
    auth: Arc<PeerAuth>,
    closing: Closing,
}

impl Lender {
    async fn lend(
        &self,
        borrower: &PeerName,
        request: Request<v1::MatchOfferRequest>,
    ) -> v1::MatchOfferResponse {
        let private_pool = pool_of_word(&request.get_ref().private_pool);
        let Some(request) = convert::loan_request(request, clock::now(), &self.broker) else {
            self.broker.bad_loan_request(borrower);
            let malformed = NotLent::Refused(LoanRefusal::Malformed);
            return self.refused_or_not(borrower, malformed);
        };
        let lent = self.broker.lend(borrower, private_pool.as_ref(), request);
        match lent.await {
            Ok(answer) => convert::answer(&answer),
            Err(not_lent) => self.refused_or_not(borrower, not_lent),
        }
    }

    fn refused_or_not(&self, borrower: &PeerName, not_lent: NotLent) -> v1::MatchOfferResponse {
        if let NotLent::Refused(reason) = not_lent {
            let reason = reason.as_str();
            self.auth.log_refusal(borrower, reason, reason);
        }
        convert::not_lent(not_lent)
    }
}

#[tonic::async_trait]
impl Federation for Lender {
    type WatchSupplyStream = Pin<Box<dyn Stream<Item = Result<v1::Supply, Status>> + Send>>;

    async fn watch_supply(
        &self,
        request: Request<v1::WatchSupplyRequest>,
    ) -> Result<Response<Self::WatchSupplyStream>, Status> {
        let borrower = borrower(&request)?;
        let permit = self.auth.watch(&borrower)?;
        let (broker, closing) = (Arc::clone(&self.broker), self.closing.clone());
        let supplies = watch::supplies(broker, borrower, permit, closing);
        Ok(Response::new(Box::pin(supplies)))
    }

    async fn match_offer(
        &self,
        request: Request<v1::MatchOfferRequest>,
    ) -> Result<Response<v1::MatchOfferResponse>, Status> {
        let borrower = borrower(&request)?;
        let response = self.lend(&borrower, request).await;
        Ok(Response::new(response))
    }
}

/// The caller, as identified by [`PeerAuth::identify`].
fn borrower<T>(request: &Request<T>) -> Result<PeerName, Status> {
    let borrower = request.extensions().get::<PeerName>();
    let nobody = || Status::internal("nothing is known of who calls");
    borrower.cloned().ok_or_else(nobody)
}

//! The application of limits to requests.

use std::net::IpAddr;
use std::sync::Arc;

use crate::metrics::labels::{Refusal, Request};

use super::Broker;
use super::caller::RequestOrigin;
use super::limits::{ChargedTokens, Limits, MALFORMED};

impl Broker {
    /// Adds limits for each address.
    #[must_use]
    pub fn limited(mut self, limits: impl Into<Arc<Limits>>) -> Self {
        self.limits = Some(limits.into());
        self
    }

    /// Discards the recorded use of addresses every hour. Never returns.
    pub(super) async fn keep_hours(&self) {
        match &self.limits {
            Some(limits) => limits.keep_hours().await,
            None => std::future::pending().await,
        }
    }

    /// The multiple of a source's share that an origin has: see [`Limits::share_factor`].
    pub(super) fn share_factor(&self, origin: RequestOrigin) -> u32 {
        let limits = self.limits.as_ref();
        limits.map_or(1, |limits| limits.share_factor(origin))
    }

    /// Returns true if this address forwards the requests of many senders.
    pub fn is_intermediary(&self, address: IpAddr) -> bool {
        let limits = self.limits.as_ref();
        limits.is_some_and(|limits| limits.is_intermediary(address))
    }

    /// Returns true if a request of this origin would be refused whatever its content, so
    /// that it need not be read.
    pub fn is_over_limit(&self, request: Request, origin: RequestOrigin) -> bool {
        let limits = self.limits.as_ref();
        limits.is_some_and(|limits| !limits.has_room(request, origin))
    }

    /// Charges a refused request if its sender is at fault. The sender behind an
    /// intermediary is unknown, and its other clients must not pay for a malformed
    /// request.
    pub fn charge_refused(&self, request: Request, origin: RequestOrigin, reason: Refusal) {
        let tokens = match (reason, origin) {
            (Refusal::CutOff, _)
            | (
                Refusal::BadRequest,
                RequestOrigin::Intermediary(_) | RequestOrigin::Unconfirmed { claimed: None, .. },
            ) => 1,
            (Refusal::BadRequest, _) => MALFORMED,
            _ => return,
        };
        self.charge(request, origin, None, tokens);
    }

    /// Returns true if a request may be served; see [`Limits::admits`].
    pub(super) fn admits(
        &self,
        request: Request,
        origin: RequestOrigin,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        let limits = self.limits.as_ref();
        limits.is_none_or(|limits| limits.admits(request, origin, claimed))
    }

    /// Gives charged tokens back.
    pub(super) fn refund(&self, charged: Option<&ChargedTokens>) {
        if let (Some(limits), Some(charged)) = (&self.limits, charged) {
            limits.refund(charged);
        }
    }

    /// Charges tokens for the consequences of a request; see [`Limits::charge`].
    pub(super) fn charge(
        &self,
        request: Request,
        origin: RequestOrigin,
        claimed: Option<IpAddr>,
        tokens: u64,
    ) -> Option<ChargedTokens> {
        let limits = self.limits.as_ref()?;
        Some(limits.charge(request, origin, claimed, tokens))
    }
}

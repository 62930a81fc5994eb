//! A change by an operator, and the log of it.

use tokio::sync::MutexGuard;

use crate::grpc::auth::Principal;

/// A change in progress, and its author.
pub(super) struct Change<'a> {
    principal: Principal,
    _turn: MutexGuard<'a, ()>,
}

impl<'a> Change<'a> {
    pub(super) fn new(principal: Principal, turn: MutexGuard<'a, ()>) -> Self {
        Self {
            principal,
            _turn: turn,
        }
    }

    /// Logs the change with the new values.
    pub(super) fn set(&self, what: &str, values: &str) {
        tracing::info!(principal = %self.principal, %values, "admin: {what}");
    }

    /// Logs the change, unless the request was only to be validated.
    pub(super) fn made(&self, validate_only: bool, what: &str) {
        if !validate_only {
            tracing::info!(principal = %self.principal, "admin: {what}");
        }
    }
}

//! A program that was built without the probe server has no endpoint for it.

use std::sync::Arc;

use anyhow::bail;
use axum::Router;

use crate::app::supervisor::Supervisor;
use crate::config::Config;
use crate::listener::accounts::Accounts;
use crate::metrics::Metrics;

/// Fails; the check of the settings has refused them before.
pub(super) fn router(
    _: &Config,
    _: &Arc<Metrics>,
    _: &Arc<Accounts>,
    _: &Supervisor,
) -> anyhow::Result<Router> {
    bail!("probe.listen: this program was built without the probe server")
}

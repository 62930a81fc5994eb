//! The service manager: the sockets that it passes, and notifications to it
//! (`sd_notify(3)`).

pub(super) mod sockets;

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::broker::Broker;

/// The longest wait for a service manager that does not read notifications.
const PATIENCE: Duration = Duration::from_secs(1);

/// Notifies that the broker serves.
pub(super) async fn ready() {
    tell(vec![NotifyState::Ready, NotifyState::Status("serving")]).await;
}

/// Notifies that a reload has begun; [`reloaded`] must follow.
pub(super) async fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // With this time, systemd recognizes the reload that it has requested.
    states.extend(NotifyState::monotonic_usec_now());
    states.push(NotifyState::Status("reloading"));
    tell(states).await;
}

/// Notifies that the reload is over. If it was refused, nothing has changed.
pub(super) async fn reloaded(is_refused: bool) {
    let status = if is_refused {
        "serving; the last reload was refused, see the log"
    } else {
        "serving"
    };
    tell(vec![NotifyState::Ready, NotifyState::Status(status)]).await;
}

/// Notifies that the broker is about to end.
pub(super) async fn stopping() {
    let status = "stopping, waiting for clients and proxies";
    tell(vec![NotifyState::Stopping, NotifyState::Status(status)]).await;
}

/// Sends watchdog notifications while the broker makes progress, if the service manager
/// wants them: two in each expected interval.
pub(super) async fn report_heartbeat(broker: Arc<Broker>) {
    let expected = sd_notify::watchdog_enabled();
    let Some(expected) = expected.filter(|expected| !expected.is_zero()) else {
        return;
    };
    loop {
        broker.heartbeat().await;
        tell(vec![NotifyState::Watchdog]).await;
        sleep(expected / 2).await;
    }
}

async fn tell(states: Vec<NotifyState<'static>>) {
    let told = spawn_blocking(move || sd_notify::notify(&states));
    match timeout(PATIENCE, told).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "cannot notify the service manager"),
        Ok(Err(_)) | Err(_) => tracing::warn!("the service manager does not read notifications"),
    }
}

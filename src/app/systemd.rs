//! The service manager: sockets that it passes, and what it is told of us, if there is one: `sd_notify(3)`.

pub(super) mod sockets;

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::broker::Broker;

/// The longest wait for a service manager that does not read what we tell it.
const PATIENCE: Duration = Duration::from_secs(1);

/// We listen, and serve.
pub(super) async fn ready() {
    tell(vec![NotifyState::Ready, NotifyState::Status("brokering")]).await;
}

/// We read everything again; [`reloaded`] has to follow.
pub(super) async fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // By this systemd tells whether the reload is the one it has asked for.
    states.extend(NotifyState::monotonic_usec_now());
    states.push(NotifyState::Status("reloading"));
    tell(states).await;
}

/// We serve on, in the new way or, if that was refused, in the old one.
pub(super) async fn reloaded(is_refused: bool) {
    let status = if is_refused {
        "brokering; the last reload was refused, the log says why"
    } else {
        "brokering"
    };
    tell(vec![NotifyState::Ready, NotifyState::Status(status)]).await;
}

/// We are about to end.
pub(super) async fn stopping() {
    let status = "stopping, with the clients and proxies that wait";
    tell(vec![NotifyState::Stopping, NotifyState::Status(status)]).await;
}

/// Tells for as long as the broker keeps time that it does, if the service
/// manager wants to know. It is told twice in the time in which it expects it.
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
        Ok(Ok(Err(error))) => tracing::warn!(%error, "cannot tell the service manager"),
        Ok(Err(_)) | Err(_) => tracing::warn!("the service manager does not listen"),
    }
}

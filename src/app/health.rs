//! The health of the broker and of one service, for gRPC health checks.

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::matching::ServiceStage;

/// Reports whether the broker accepts new work, as the overall health and that of a
/// service.
pub(super) async fn report(
    health: HealthReporter,
    mut stage: watch::Receiver<ServiceStage>,
    name: &str,
) {
    loop {
        let status = match *stage.borrow_and_update() {
            ServiceStage::Serving => ServingStatus::Serving,
            ServiceStage::LameDuck | ServiceStage::Draining => ServingStatus::NotServing,
        };
        for service in ["", name] {
            health.set_service_status(service, status).await;
        }
        if stage.changed().await.is_err() {
            return;
        }
    }
}

//! The SQS queues, from start to stop. A failing queue does not affect the other queues
//! or HTTP.

#[cfg(feature = "sqs")]
mod aws;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::sqs::Settings;

/// The queues being served.
#[derive(Debug, Default)]
pub(super) struct Queues {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Refuses queues if this program is built without SQS. Makes no calls.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    let key = if settings.queue_name.is_some() {
        "sqs.queue_name"
    } else {
        "sqs.queues"
    };
    let is_possible = cfg!(feature = "sqs") || settings.all_queues().is_empty();
    anyhow::ensure!(
        is_possible,
        "{key}: this program was built without SQS: install a package, or build it with \
         `cargo build --release --features sqs`"
    );
    Ok(())
}

/// Warnings about the queues, as far as this machine shows. Makes no calls.
pub(super) async fn warnings(settings: &Settings) -> Vec<String> {
    #[cfg(feature = "sqs")]
    return aws::warnings(settings).await;
    #[cfg(not(feature = "sqs"))]
    {
        let _ = settings;
        std::future::ready(Vec::new()).await
    }
}

impl Queues {
    /// Begins to serve the queues.
    pub(super) fn start(settings: &Settings, broker: &Arc<Broker>) -> Self {
        let queues = Self::default();
        #[cfg(feature = "sqs")]
        for service in aws::services(settings) {
            let (broker, stop) = (Arc::clone(broker), queues.stop.clone());
            queues.tasks.spawn(service.run(broker, stop));
        }
        #[cfg(not(feature = "sqs"))]
        let _ = (settings, broker);
        queues.tasks.close();
        queues
    }

    /// Stops receiving messages.
    pub(super) fn stop_receiving(&self) {
        self.stop.cancel();
    }

    /// Returns when all received messages are handled.
    pub(super) async fn finished(&self) {
        self.tasks.wait().await;
    }
}

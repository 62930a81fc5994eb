//! From start to stop: signals, and the order of the shutdown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::broker::Broker;
use crate::listener::{Closing, ClosingStage};
use crate::matching;

use super::queues::Queues;

/// The action requested by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalAction {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals that the broker handles.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to listen for signals.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.terminate.recv() => SignalAction::Stop,
            _ = self.interrupt.recv() => SignalAction::Stop,
            _ = self.hang_up.recv() => SignalAction::Reload,
        }
    }

    /// Does the work, unless a further signal to stop arrives first.
    pub(super) async fn unless_stopped(&mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.stop() => tracing::warn!("stopped at once, by a further signal"),
        }
    }

    /// Waits for SIGTERM or SIGINT. A SIGHUP in the meantime is kept for [`Self::next`].
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The outcome of a shutdown for clients' requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShutdownOutcome {
    /// All requests ended on their own.
    InTime,
    /// Some requests were left at the time-out.
    Late,
    /// Some requests were left at a second signal to stop.
    AtOnce,
}

/// The time for which a server that no longer accepts connections still serves the first
/// requests of recent ones, before matching stops.
const LAST_REQUESTS: Duration = Duration::from_millis(200);

/// The time for connections to close after every client has its reply.
const CLOSING_PATIENCE: Duration = Duration::from_millis(500);

/// The time-outs of a shutdown's phases.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShutdownTimeouts {
    /// The time for which clients are still served from parked polls.
    pub(super) drain_grace: Duration,
    /// The longest total wait of a client.
    pub(super) client_timeout: Duration,
}

impl ShutdownTimeouts {
    pub(super) fn of(settings: &matching::Settings) -> Self {
        Self {
            drain_grace: settings.drain_grace,
            client_timeout: settings.client_timeout,
        }
    }

    /// The maximum duration of a shutdown.
    pub(super) fn total(self) -> Duration {
        self.drain_grace
            .saturating_add(self.client_timeout)
            .saturating_add(CLOSING_PATIENCE)
    }
}

/// The tasks that must end before the program does.
#[derive(Debug)]
pub(super) struct ServerTasks {
    /// The broker, driven.
    pub(super) broker: Arc<Broker>,
    /// The shutdown stage, which the servers follow.
    pub(super) closing: Closing,
    /// The queues that clients write to.
    pub(super) queues: Queues,
    /// Each one ends with the last connection of its listener.
    pub(super) servers: JoinSet<()>,
    /// True if a successor gets the connections that are not accepted.
    pub(super) has_inherited_sockets: bool,
}

impl ServerTasks {
    /// Shuts down gracefully: during the grace period, clients are still matched. Then
    /// polls and clients waiting for a match are released, matched clients get their
    /// answers, and connections close. Gives up at the time-out or at a second signal.
    pub(super) async fn stop(
        self,
        signals: &mut Signals,
        timeouts: ShutdownTimeouts,
    ) -> ShutdownOutcome {
        tokio::select! {
            () = self.finish(timeouts.drain_grace) => {
                tracing::info!("stopped");
                ShutdownOutcome::InTime
            }
            () = sleep(timeouts.total()) => {
                tracing::warn!("stopped while clients were waiting");
                ShutdownOutcome::Late
            }
            () = signals.stop() => {
                tracing::warn!("stopped at once, by a second signal");
                ShutdownOutcome::AtOnce
            }
        }
    }

    async fn finish(mut self, drain_grace: Duration) {
        self.broker.control().expect_successor();
        self.broker.control().start_lame_duck();
        self.closing.advance(ClosingStage::Retiring);
        // Messages written from now on are left to the successor.
        self.queues.stop_receiving();
        sleep(drain_grace).await;
        if self.has_inherited_sockets {
            self.closing.advance(ClosingStage::Leaving);
            sleep(LAST_REQUESTS).await;
        }
        self.broker.control().drain().await;
        self.closing.advance(ClosingStage::Closing);
        let closed = timeout(CLOSING_PATIENCE, async {
            while let Some(server) = self.servers.join_next().await {
                if let Err(error) = server {
                    tracing::error!(%error, "a server failed");
                }
            }
        });
        // Clients of queues have their responses only after these are sent.
        let (closed, ()) = tokio::join!(closed, self.queues.finished());
        if closed.is_err() {
            tracing::info!("some connections did not close in time");
        }
    }
}

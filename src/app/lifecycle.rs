//! From start to stop: signals, and who ends in which order.

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

/// An action that a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalAction {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals that the broker listens to.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.terminate.recv() => SignalAction::Stop,
            _ = self.interrupt.recv() => SignalAction::Stop,
            _ = self.hang_up.recv() => SignalAction::Reload,
        }
    }

    /// Does it, or gives it up at the next signal to stop.
    pub(super) async fn unless_stopped(&mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.stop() => tracing::warn!("stopped at once, by a further signal"),
        }
    }

    /// SIGTERM or SIGINT. A SIGHUP that comes meanwhile is kept for [`Self::next`].
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The end of the requests of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShutdownOutcome {
    /// All of them by themselves.
    InTime,
    /// Some were left when the time was up.
    Late,
    /// Some were left at a second signal to stop.
    AtOnce,
}

/// The time for which a server that has left still gets the first requests of connections
/// that were on their way, before nobody is matched any more.
const LAST_REQUESTS: Duration = Duration::from_millis(200);

/// The time in which connections may close once every client has its reply.
const CLOSING_PATIENCE: Duration = Duration::from_millis(500);

/// The time-outs of the phases of a shutdown.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShutdownTimeouts {
    /// The time for which clients are still served from the polls that are parked.
    pub(super) drain_grace: Duration,
    /// The longest wait of a client in all.
    pub(super) client_timeout: Duration,
}

impl ShutdownTimeouts {
    pub(super) fn of(settings: &matching::Settings) -> Self {
        Self {
            drain_grace: settings.drain_grace,
            client_timeout: settings.client_timeout,
        }
    }

    /// The longest time of a shutdown.
    pub(super) fn total(self) -> Duration {
        self.drain_grace
            .saturating_add(self.client_timeout)
            .saturating_add(CLOSING_PATIENCE)
    }
}

/// The tasks that have to end before the program does.
#[derive(Debug)]
pub(super) struct ServerTasks {
    /// The broker, driven.
    pub(super) broker: Arc<Broker>,
    /// Tells the servers how far the end is.
    pub(super) closing: Closing,
    /// The queues that clients write to.
    pub(super) queues: Queues,
    /// Each ends when the last connection of its listener has.
    pub(super) servers: JoinSet<()>,
    /// True if a successor gets the connections that are not accepted.
    pub(super) has_inherited_sockets: bool,
}

impl ServerTasks {
    /// Lets everybody finish: for a grace clients are still matched; then
    /// whoever waits for a match goes at once, matched clients get their
    /// answers, and connections close. Gives up when the time is up or
    /// at a second signal.
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
                tracing::warn!("stopped with clients waiting");
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
        // What is written from now on waits for the successor.
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
        // Clients of queues have their replies only once these are sent.
        let (closed, ()) = tokio::join!(closed, self.queues.finished());
        if closed.is_err() {
            tracing::info!("some connections did not close");
        }
    }
}

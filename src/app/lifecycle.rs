//! From start to stop: signals, and who ends in which order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
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
    pub(super) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hang_up.recv() => Request::Reload,
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

/// How the requests and connections ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of them by themselves.
    InTime,
    /// Some were left when patience was.
    Late,
    /// Some were left at a second signal to stop.
    AtOnce,
}

/// What has to end before the program does.
#[derive(Debug)]
pub(super) struct Running {
    /// The broker, driven.
    pub(super) broker: Arc<Broker>,
    /// Tells the server to close.
    pub(super) closing: CancellationToken,
    /// Ends when the server's last connection has.
    pub(super) server: JoinHandle<()>,
}

impl Running {
    /// Lets everybody finish: whoever waits for a match goes at once, matched
    /// clients get their answers, then connections close. Gives up after
    /// `patience` or at a second signal.
    pub(super) async fn stop(self, signals: &mut Signals, patience: Duration) -> Ending {
        tokio::select! {
            () = self.finish() => {
                tracing::info!("stopped");
                Ending::InTime
            }
            () = sleep(patience) => {
                tracing::warn!("stopped with connections open");
                Ending::Late
            }
            () = signals.stop() => {
                tracing::warn!("stopped at once, by a second signal");
                Ending::AtOnce
            }
        }
    }

    async fn finish(self) {
        self.broker.drain().await;
        self.closing.cancel();
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the server failed");
        }
    }
}

//! Reading everything again that can change while the broker runs, at SIGHUP
//! or whenever somebody asks. A reload in which anything is wrong changes
//! nothing.

mod prepared;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Config, Inputs};

use super::service_manager;

pub(super) use prepared::{Part, Refused, Targets, knowledge, set_limits};

use prepared::Prepared;

/// How many may wait for a reload to begin; further ones wait for their turn
/// to ask.
const ASKERS_MAX: usize = 64;

/// What a reload has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reloaded {
    /// What was read again and is in force.
    pub(super) parts: Vec<Part>,
    /// The keys that say something else than at the start and that only a
    /// restart reads.
    pub(super) waiting_for_restart: Vec<String>,
    /// What the operator should know of the configuration.
    pub(super) warnings: Vec<String>,
}

/// Asks for reloads. One is made at a time; those who ask while one is under
/// way share the next.
#[derive(Clone, Debug)]
pub(super) struct Reloads {
    askers: mpsc::Sender<Asker>,
    config: Arc<ArcSwap<Config>>,
}

/// How long after a reload the next one begins: of signals that come in hundreds
/// most are one.
const PAUSE: Duration = Duration::from_millis(500);

type Asker = oneshot::Sender<Result<Reloaded, Refused>>;

impl Reloads {
    /// For a broker that was started with this configuration, made from these
    /// inputs.
    pub(super) fn start(inputs: Inputs, started: Config, targets: Targets) -> Self {
        let (askers, asked) = mpsc::channel(ASKERS_MAX);
        let config = Arc::new(ArcSwap::from_pointee(started.clone()));
        let reloader = Reloader {
            inputs,
            started,
            config: Arc::clone(&config),
            targets: Arc::new(targets),
        };
        tokio::spawn(reloader.serve(asked));
        Self { askers, config }
    }

    /// Reads everything again, and returns once it is in force or refused. Who
    /// no longer waits does not stop it.
    pub(super) async fn reload(&self) -> Result<Reloaded, Refused> {
        let (asker, outcome) = oneshot::channel();
        // It fails when the broker is about to end, and so does the receiver.
        drop(self.askers.send(asker).await);
        outcome.await.unwrap_or_else(|_| {
            let ending = anyhow::anyhow!("the broker is about to end");
            Err(Refused::because(Part::Configuration, &ending))
        })
    }

    /// The configuration in force; of what waits for a restart, the one to
    /// come.
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }
}

/// Makes the reloads, one after the other.
struct Reloader {
    inputs: Inputs,
    /// What the broker was started with.
    started: Config,
    config: Arc<ArcSwap<Config>>,
    targets: Arc<Targets>,
}

impl Reloader {
    async fn serve(self, mut asked: mpsc::Receiver<Asker>) {
        while let Some(first) = asked.recv().await {
            // All who have asked by now, before anything is read.
            let mut askers = vec![first];
            while let Ok(asker) = asked.try_recv() {
                askers.push(asker);
            }
            service_manager::reloading().await;
            let outcome = self.reload().await;
            log(&outcome);
            service_manager::reloaded(outcome.is_err()).await;
            for asker in askers {
                drop(asker.send(outcome.clone()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn reload(&self) -> Result<Reloaded, Refused> {
        let (inputs, known) = (self.inputs.clone(), self.targets.broker.knowledge());
        let certificates = self.targets.certificates.clone();
        let read = move || Prepared::read(&inputs, &known.geoip, &certificates);
        let read = spawn_blocking(read);
        let prepared = read
            .await
            .context("reading failed")
            .map_err(|error| Refused::because(Part::Configuration, &error))??;
        let reloaded = Reloaded {
            parts: Part::REPLACED.to_vec(),
            waiting_for_restart: waiting::keys(&self.started, &prepared.config),
            warnings: prepared.warnings.clone(),
        };
        self.config.store(Arc::new(prepared.config.clone()));
        prepared.apply(&self.targets);
        Ok(reloaded)
    }
}

fn log(outcome: &Result<Reloaded, Refused>) {
    let reloaded = match outcome {
        Ok(reloaded) => reloaded,
        Err(refused) => {
            tracing::error!("nothing reloaded: {refused}");
            return;
        }
    };
    for warning in &reloaded.warnings {
        tracing::warn!("{warning}");
    }
    let parts: Vec<String> = reloaded.parts.iter().map(ToString::to_string).collect();
    tracing::info!("reloaded {}", parts.join(", "));
    if !reloaded.waiting_for_restart.is_empty() {
        let keys = reloaded.waiting_for_restart.join(", ");
        tracing::warn!("what changed in {keys} waits for a restart");
    }
}

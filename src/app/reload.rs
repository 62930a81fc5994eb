//! Reloads: everything that can change at runtime is read again, on SIGHUP or by a call
//! of the administration. A reload with any error changes nothing.

mod known;
mod plan;
mod problem;
mod restart_required;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::config::{Config, Inputs, Loaded};
use crate::geoip::GeoIp;

use super::supervisor::Supervisor;
use super::{countries, systemd};

pub(super) use known::{Known, directory};
pub(super) use plan::{ReloadTargets, set_limits};
pub(super) use problem::ReloadRefused;

use plan::ReloadPlan;
use problem::Section;

/// The maximum number of callers waiting for a reload to begin; others wait for a place.
const ASKERS_MAX: usize = 64;

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reloaded {
    /// The sections that were reloaded and are in force.
    pub(super) sections: Vec<Section>,
    /// The keys that differ from the start and that only a restart applies.
    pub(super) waiting_for_restart: Vec<String>,
    /// The warnings about the configuration and its files.
    pub(super) warnings: Vec<String>,
}

/// Requests reloads. One runs at a time; requests during a reload share the next one.
#[derive(Clone, Debug)]
pub(super) struct Reloads {
    askers: mpsc::Sender<Asker>,
    reloader: Arc<Reloader>,
}

/// The pause between two reloads: of hundreds of signals, most are merged.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest wait for the country databases before early requests are counted without
/// them.
const COUNTRIES_PATIENCE: Duration = Duration::from_secs(30);

type Asker = oneshot::Sender<Result<Reloaded, ReloadRefused>>;

impl Reloads {
    /// Begins to serve reloads, for a broker that was started with this configuration.
    pub(super) fn start(
        inputs: Inputs,
        started: Loaded,
        targets: ReloadTargets,
        supervisor: &Supervisor,
    ) -> Self {
        let (askers, asked) = mpsc::channel(ASKERS_MAX);
        let reloader = Arc::new(Reloader {
            inputs,
            started: started.config.clone(),
            loaded: ArcSwap::from_pointee(started),
            targets,
        });
        supervisor.keep("the reloader", Arc::clone(&reloader).serve(asked));
        Self { askers, reloader }
    }

    /// Reloads, and returns once the result is in force or refused. The reload continues
    /// even if the caller no longer waits.
    pub(super) async fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        let (asker, outcome) = oneshot::channel();
        // An error means that the broker is about to end, which the receiver reports,
        // too.
        drop(self.askers.send(asker).await);
        outcome.await.unwrap_or_else(|_| {
            let ending = anyhow::anyhow!("the broker is about to end");
            Err(ReloadRefused::because(Section::Configuration, &ending))
        })
    }

    /// Reads and checks everything, and changes nothing.
    pub(super) async fn check(&self) -> Result<Reloaded, ReloadRefused> {
        let plan = self.reloader.prepare().await?;
        Ok(self.reloader.outcome(&plan))
    }

    /// The current configuration, including values that wait for a restart.
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        self.reloader.loaded.load_full()
    }

    /// The keys that have changed since the start and that only a restart applies.
    pub(super) fn waiting_for_restart(&self) -> Vec<String> {
        restart_required::keys(&self.reloader.started, &self.loaded().config)
    }
}

/// Performs reloads, one after the other.
struct Reloader {
    inputs: Inputs,
    /// The configuration at the start.
    started: Config,
    loaded: ArcSwap<Loaded>,
    targets: ReloadTargets,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Reloader {
    async fn serve(self: Arc<Self>, mut asked: mpsc::Receiver<Asker>) {
        // No reload begins earlier, so that this does not undo it.
        self.learn_countries().await;
        while let Some(first) = asked.recv().await {
            // Collects all requests so far, before reading anything.
            let mut askers = vec![first];
            while let Ok(asker) = asked.try_recv() {
                askers.push(asker);
            }
            systemd::reloading().await;
            let outcome = self.reload().await;
            log(&outcome);
            systemd::reloaded(outcome.is_err()).await;
            for asker in askers {
                drop(asker.send(outcome.clone()));
            }
            sleep(PAUSE).await;
        }
    }

    /// Reads the country databases, for which the start did not wait. Errors leave
    /// countries unknown: they are only for statistics, and a truncated file must not
    /// stop the broker.
    async fn learn_countries(&self) {
        let settings = self.started.geoip.clone();
        if settings.disable {
            return;
        }
        let mut read = spawn_blocking(move || countries::read(&settings, &GeoIp::default()));
        let in_time = timeout(COUNTRIES_PATIENCE, &mut read).await;
        let read = if let Ok(read) = in_time {
            read
        } else {
            tracing::warn!("the country databases take long: countries are unknown meanwhile");
            self.targets.broker.metrics().stop_awaiting_countries();
            read.await
        };
        let (geoip, problems) = read.unwrap_or_else(|error| {
            let failed = anyhow::Error::from(error).context("reading failed");
            (GeoIp::default(), vec![failed])
        });
        for problem in problems {
            tracing::error!("countries stay unknown until the next reload: {problem:#}");
        }
        let (ipv4, ipv6) = (geoip.has_ipv4(), geoip.has_ipv6());
        self.targets.set_countries(geoip);
        tracing::info!(ipv4, ipv6, "the country databases are read");
    }

    async fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        let plan = self.prepare().await?;
        let outcome = self.outcome(&plan);
        self.loaded.store(Arc::new(plan.loaded.clone()));
        plan.apply(&self.targets);
        Ok(outcome)
    }

    async fn prepare(&self) -> Result<ReloadPlan, ReloadRefused> {
        let (inputs, known) = (self.inputs.clone(), self.targets.broker.directory());
        let certificates = self.targets.certificates.clone();
        let read = move || ReloadPlan::read(&inputs, &known.geoip, &certificates);
        let read = spawn_blocking(read);
        read.await
            .context("reading failed")
            .map_err(|error| ReloadRefused::because(Section::Configuration, &error))?
    }

    fn outcome(&self, plan: &ReloadPlan) -> Reloaded {
        let warnings = plan.loaded.warnings.iter().map(ToString::to_string);
        Reloaded {
            sections: plan.sections(),
            waiting_for_restart: restart_required::keys(&self.started, &plan.loaded.config),
            warnings: warnings.chain(plan.warnings.clone()).collect(),
        }
    }
}

fn log(outcome: &Result<Reloaded, ReloadRefused>) {
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
    let sections: Vec<String> = reloaded.sections.iter().map(ToString::to_string).collect();
    tracing::info!("reloaded {}", sections.join(", "));
    if !reloaded.waiting_for_restart.is_empty() {
        let keys = reloaded.waiting_for_restart.join(", ");
        tracing::warn!("what changed in {keys} waits for a restart");
    }
}

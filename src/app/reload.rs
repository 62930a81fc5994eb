//! Reloads: everything that can change at runtime is read again, on SIGHUP or by a call
//! of the administration. A reload with any error changes nothing.

mod changes;
mod known;
mod plan;
mod problem;
mod restart_required;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::causes::with_causes;
use crate::config::{Config, Inputs, Loaded};
use crate::geoip::GeoIp;
use crate::telemetry::SETTINGS;

use super::supervisor::Supervisor;
use super::{countries, systemd};

pub(super) use changes::FileContents;
pub(super) use known::{Known, directory};
pub(super) use plan::{ReloadTargets, set_limits};
pub(super) use problem::ReloadRefused;

use changes::State;
use known::BRIDGE_LIST;
use plan::ReloadPlan;
use problem::Section;

/// The maximum number of callers waiting for a reload to begin; others wait for a place.
const ASKERS_MAX: usize = 64;

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reloaded {
    /// The sections that were reloaded and are in force.
    pub(super) sections: Vec<Section>,
    /// The keys, files and databases that have changed since the last time.
    changes: Vec<String>,
    /// The number of bridges.
    bridges: usize,
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
        files: FileContents,
        targets: ReloadTargets,
        supervisor: &Supervisor,
    ) -> Self {
        let (askers, asked) = mpsc::channel(ASKERS_MAX);
        let reloader = Arc::new(Reloader {
            inputs,
            started: started.config.clone(),
            loaded: ArcSwap::from_pointee(started),
            files: ArcSwap::from_pointee(files),
            overrides: Mutex::default(),
            pools: tokio::sync::Mutex::default(),
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
            let ending = anyhow::anyhow!("the broker is stopping");
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

    /// Waits for a reload under way, and holds others off while private pools change.
    pub(super) async fn hold_pools(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.reloader.pools.lock().await
    }

    /// Notes keys to which the administration has given other values, which the next reload
    /// takes back.
    pub(super) fn note_overrides(&self, keys: impl IntoIterator<Item = String>) {
        self.reloader.overrides().extend(keys);
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
    /// The files that are in force.
    files: ArcSwap<FileContents>,
    /// The keys that the administration has given other values since the last reload.
    overrides: Mutex<BTreeSet<String>>,
    /// Held while private pools change, so that a reload does not bring back an older file.
    pools: tokio::sync::Mutex<()>,
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
            tracing::warn!(
                "the country databases are slow to load: countries are unknown meanwhile"
            );
            self.targets.broker.metrics().stop_awaiting_countries();
            read.await
        };
        let (geoip, problems) = read.unwrap_or_else(|error| {
            let failed = anyhow::Error::from(error).context("cannot read the files");
            (GeoIp::default(), vec![failed])
        });
        for problem in problems {
            let problem = with_causes(problem.as_ref());
            tracing::error!(target: SETTINGS, "{problem} (countries stay unknown until a reload)");
        }
        let (ipv4, ipv6) = (geoip.has_ipv4(), geoip.has_ipv6());
        self.targets.set_countries(geoip);
        tracing::info!(ipv4, ipv6, "country databases loaded");
    }

    async fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        let _pools = self.pools.lock().await;
        let plan = self.prepare().await?;
        let outcome = self.outcome(&plan);
        self.loaded.store(Arc::new(plan.loaded.clone()));
        self.files.store(Arc::new(plan.files.clone()));
        self.overrides().clear();
        plan.apply(&self.targets);
        if let Some(cluster) = &self.targets.cluster {
            cluster.end_changes();
        }
        Ok(outcome)
    }

    async fn prepare(&self) -> Result<ReloadPlan, ReloadRefused> {
        let (inputs, known) = (self.inputs.clone(), self.targets.broker.directory());
        let certificates = self.targets.certificates.clone();
        let pools = self.targets.broker.private_pools();
        let mut pools = pools.into_iter().flat_map(|pools| pools.all());
        let has_kept_pools = pools.any(|pool| !pool.is_configured());
        let read = move || {
            let plan = ReloadPlan::read(&inputs, &known.geoip, &certificates)?;
            plan.loses_no_pools(has_kept_pools)?;
            Ok(plan)
        };
        let read = spawn_blocking(read);
        read.await
            .context("cannot read the files")
            .map_err(|error| ReloadRefused::because(Section::Configuration, &error))?
    }

    fn outcome(&self, plan: &ReloadPlan) -> Reloaded {
        let warnings = plan.loaded.warnings.iter().map(ToString::to_string);
        Reloaded {
            sections: plan.sections(),
            changes: self.changes(plan),
            bridges: plan.bridges().count(),
            waiting_for_restart: restart_required::keys(&self.started, &plan.loaded.config),
            warnings: warnings.chain(plan.warnings.clone()).collect(),
        }
    }
}

impl Reloader {
    fn changes(&self, plan: &ReloadPlan) -> Vec<String> {
        let (loaded, files) = (self.loaded.load(), self.files.load());
        let before = State {
            config: &loaded.config,
            files: &files,
        };
        let after = State {
            config: &plan.loaded.config,
            files: &plan.files,
        };
        let mut changes = changes::changes(before, after);
        if plan.keeps_certificate {
            changes.retain(|change| !change.starts_with("the file of tls."));
        }
        if plan.has_other_countries {
            changes.push("the country databases".to_owned());
        }
        let has_other_bridges = self.targets.broker.directory().bridges != *plan.bridges();
        let are_explained = changes.iter().any(|change| change.ends_with(BRIDGE_LIST));
        // The administration's own changes end with a reload.
        let overrides = self.overrides();
        let bridges = (has_other_bridges && !are_explained).then_some("bridges");
        let keys = overrides.iter().map(String::as_str).chain(bridges);
        changes.extend(keys.map(|key| format!("{key} of the administration")));
        changes
    }

    /// The keys are whole at any time, even if a holder of the lock panicked.
    fn overrides(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.overrides
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(outcome: &Result<Reloaded, ReloadRefused>) {
    let reloaded = match outcome {
        Ok(reloaded) => reloaded,
        Err(refused) => {
            tracing::error!(target: SETTINGS, "nothing reloaded: {refused}");
            return;
        }
    };
    for warning in &reloaded.warnings {
        tracing::warn!(target: SETTINGS, "{warning}");
    }
    if !reloaded.waiting_for_restart.is_empty() {
        let keys = reloaded.waiting_for_restart.join(", ");
        tracing::warn!(keys, "some changes wait for a restart");
    }
    let (changes, bridges) = (reloaded.changes.join(", "), reloaded.bridges);
    if changes.is_empty() {
        tracing::info!(bridges, "configuration reloaded, nothing has changed");
    } else {
        tracing::info!(target: SETTINGS, changes, bridges, "configuration reloaded");
    }
}

//! The operations of the administration that concern the whole program.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use tokio::task::{self, AbortHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::persistence::atomic_file;
use crate::app::private_pools;
use crate::app::reload::{self, ReloadRefused, Reloaded, Reloads};
use crate::broker::private_pools::settings::PoolSettings;
use crate::broker::{Broker, clock, limits};
use crate::cluster::Cluster;
use crate::cluster::shared::PRIVATE_POOL;
use crate::config::{self, Loaded};
use crate::grpc::admin::operations::{
    Operations, Overrides, PoolRefused, WriteBridgesError, WrongPart,
};
use crate::http::Endpoints;
use crate::listener::Server;
use crate::proto::admin::v1;
use crate::telemetry::{LogControl, LogLevel};

/// The source shown for a value that was set by a call.
const SOURCE: &str = "admin";
const LOG_LEVEL: &str = "telemetry.log_level";

/// Carries out the operations that operators request.
pub(in crate::app) struct Administration {
    broker: Arc<Broker>,
    server: Arc<Server<Endpoints>>,
    reloads: Reloads,
    log: LogControl,
    /// The cluster whose nodes have changes in common, if there is one.
    cluster: Option<Arc<Cluster>>,
    /// Cancelled when the program is told to stop.
    stopping: CancellationToken,
    changes: Arc<Mutex<Changes>>,
}

/// The changes since the configuration was read.
#[derive(Debug)]
struct Changes {
    /// The configuration that the changes apply to. Any reload replaces it.
    loaded: Arc<Loaded>,
    /// The values in force instead of the configured ones.
    overrides: Overrides,
    /// Aborts the grace period of a drain.
    drain: Option<AbortHandle>,
    /// Aborts the return to the configured log filter.
    log_ttl: Option<AbortHandle>,
}

impl Administration {
    pub(in crate::app) fn new(
        broker: &Arc<Broker>,
        server: Arc<Server<Endpoints>>,
        reloads: &Reloads,
        log: LogControl,
        stopping: &CancellationToken,
    ) -> Self {
        let changes = Changes {
            loaded: reloads.loaded(),
            overrides: Overrides::new(),
            drain: None,
            log_ttl: None,
        };
        Self {
            broker: Arc::clone(broker),
            server,
            reloads: reloads.clone(),
            log,
            cluster: None,
            stopping: stopping.clone(),
            changes: Arc::new(Mutex::new(changes)),
        }
    }

    /// Has changes hold for all nodes of a cluster, if there is one.
    #[must_use]
    pub(in crate::app) fn in_cluster(mut self, cluster: Option<Arc<Cluster>>) -> Self {
        self.cluster = cluster;
        self
    }

    /// The private pools that were created before this process, in the form in which nodes of a
    /// cluster share them, by name.
    pub(in crate::app) async fn kept_private_pools(&self) -> Vec<(String, Vec<u8>)> {
        let _held = self.reloads.hold_pools().await;
        let loaded = self.reloads.loaded();
        let kept = on_disk(move || private_pools::shareable(&loaded.config)).await;
        // Whoever starts has read the file before.
        kept.unwrap_or_default()
    }

    /// Has a private pool as another node of the cluster has it, or has it no more. Returns true
    /// if that is new.
    pub(in crate::app) async fn share_private_pool(
        &self,
        name: &str,
        pool: Option<Vec<u8>>,
    ) -> Result<bool, PoolRefused> {
        let _held = self.reloads.hold_pools().await;
        let (loaded, broker) = (self.reloads.loaded(), Arc::clone(&self.broker));
        let name = name.to_owned();
        on_disk(move || private_pools::share(&loaded.config, &broker, &name, pool.as_deref())).await
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        lock(&self.changes)
    }

    /// Restores the configured log filter after a time.
    fn end_log_filter_after(&self, ttl: Duration) -> AbortHandle {
        let (log, reloads) = (self.log.clone(), self.reloads.clone());
        let changes = Arc::clone(&self.changes);
        let end = tokio::spawn(async move {
            sleep(ttl).await;
            let mut changes = lock(&changes);
            if !is_this_task(changes.log_ttl.as_ref()) {
                return;
            }
            let loaded = reloads.loaded();
            let is_reloaded = changes.of(&loaded).remove(LOG_LEVEL).is_none();
            if is_reloaded {
                return;
            }
            // The level was already parsed when the configuration was read.
            if let Ok(level) = LogLevel::parse(&loaded.config.telemetry.log_level) {
                log.set_level(level);
                tracing::info!("restored the log filter of the configuration");
            }
        });
        end.abort_handle()
    }

    fn drain_after(&self, grace: Duration) -> AbortHandle {
        let (broker, changes) = (Arc::clone(&self.broker), Arc::clone(&self.changes));
        let drain = tokio::spawn(async move {
            sleep(grace).await;
            let changes = lock(&changes);
            if is_this_task(changes.drain.as_ref()) {
                broker.control().start_draining();
            }
        });
        drain.abort_handle()
    }
}

/// Returns true if the task has not been aborted, which can happen while it is running.
fn is_this_task(task: Option<&AbortHandle>) -> bool {
    task.map(AbortHandle::id) == task::try_id()
}

impl Changes {
    /// The overrides of the loaded configuration.
    fn of(&mut self, loaded: &Arc<Loaded>) -> &mut Overrides {
        if !Arc::ptr_eq(&self.loaded, loaded) {
            self.loaded = Arc::clone(loaded);
            self.overrides.clear();
        }
        &mut self.overrides
    }
}

/// The changes are consistent even if a thread panicked while holding the lock.
fn lock(changes: &Mutex<Changes>) -> MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tonic::async_trait]
impl Operations for Administration {
    async fn reload(&self, validate_only: bool) -> Result<v1::ReloadResponse, Vec<WrongPart>> {
        let reloaded = if validate_only {
            self.reloads.check().await
        } else {
            self.reloads.reload().await
        };
        reloaded.map(response).map_err(wrong_parts)
    }

    async fn write_bridges(&self, lines: String) -> Result<(), WriteBridgesError> {
        let config = &self.reloads.loaded().config;
        let path = config
            .broker
            .bridge_list_path
            .clone()
            .ok_or(WriteBridgesError::NoPath)?;
        let written = spawn_blocking(move || {
            let mode = fs::metadata(&path)?.permissions().mode();
            atomic_file::replace_target(&path, &lines, mode & 0o777)
        })
        .await
        .map_err(io::Error::other)
        .flatten();
        written.map_err(WriteBridgesError::Io)
    }

    fn set_log_filter(
        &self,
        filter: &str,
        ttl: Option<Duration>,
    ) -> Result<Option<SystemTime>, String> {
        let level = LogLevel::parse(filter).map_err(|error| error.to_string())?;
        let mut changes = self.changes();
        if let Some(before) = changes.log_ttl.take() {
            before.abort();
        }
        self.log.set_level(level);
        let written = toml::Value::from(filter).to_string();
        changes
            .of(&self.reloads.loaded())
            .insert(LOG_LEVEL.to_owned(), written);
        if ttl.is_none() {
            self.reloads.note_overrides([LOG_LEVEL.to_owned()]);
        }
        changes.log_ttl = ttl.map(|ttl| self.end_log_filter_after(ttl));
        Ok(ttl.map(|ttl| clock::wall_clock() + ttl))
    }

    fn set_limits(&self, limits: &limits::Settings) {
        let mut config = self.reloads.loaded().config.clone();
        config.limits = limits.clone();
        reload::set_limits(&config, &self.broker, &self.server);
    }

    fn note_overrides(&self, overrides: Overrides) {
        self.reloads.note_overrides(overrides.keys().cloned());
        self.changes().of(&self.reloads.loaded()).extend(overrides);
    }

    fn share(&self, name: &str, request: Vec<u8>) {
        if let Some(cluster) = &self.cluster {
            cluster.share_change(name, request);
        }
    }

    fn drain(&self, grace: Option<Duration>) -> SystemTime {
        let grace = grace.unwrap_or(self.reloads.loaded().config.matching.drain_grace);
        let mut changes = self.changes();
        self.broker.control().start_lame_duck();
        if let Some(before) = changes.drain.take() {
            before.abort();
        }
        changes.drain = Some(self.drain_after(grace));
        clock::wall_clock() + grace
    }

    fn resume(&self) -> bool {
        let mut changes = self.changes();
        if let Some(drain) = changes.drain.take() {
            drain.abort();
        }
        if self.stopping.is_cancelled() {
            return false;
        }
        self.broker.control().resume();
        true
    }

    async fn create_private_pool(
        &self,
        settings: PoolSettings,
        validate_only: bool,
    ) -> Result<String, PoolRefused> {
        let _held = self.reloads.hold_pools().await;
        let (loaded, broker) = (self.reloads.loaded(), Arc::clone(&self.broker));
        let name = format!("{PRIVATE_POOL}{}", settings.name);
        let create =
            move || private_pools::create(&loaded.config, &broker, settings, validate_only);
        let Some(created) = on_disk(create).await? else {
            return Ok(String::new());
        };
        self.share(&name, created.shareable());
        Ok(created.token.reveal().to_owned())
    }

    async fn delete_private_pool(&self, name: &str) -> Result<(), PoolRefused> {
        let _held = self.reloads.hold_pools().await;
        let (loaded, broker) = (self.reloads.loaded(), Arc::clone(&self.broker));
        let deleted = name.to_owned();
        on_disk(move || private_pools::delete(&loaded.config, &broker, &deleted)).await?;
        self.share(&format!("{PRIVATE_POOL}{name}"), Vec::new());
        Ok(())
    }

    fn config(&self) -> Vec<v1::Setting> {
        let loaded = self.reloads.loaded();
        let waiting = self.reloads.waiting_for_restart();
        let mut changes = self.changes();
        let overrides = changes.of(&loaded);
        let mut settings = Vec::new();
        for (key, value) in loaded.config.flatten() {
            let overridden = overrides.get(&*key);
            let value = match (overridden, value) {
                (Some(value), _) => value.clone(),
                (None, Some(_)) if config::is_secret(&key) => config::HIDDEN.to_owned(),
                (None, value) => {
                    let value = value.unwrap_or_default();
                    config::without_url_secrets(&key, &value).into_owned()
                }
            };
            let source = match overridden {
                Some(_) => SOURCE.to_owned(),
                None => loaded.origins.of(&key).to_string(),
            };
            settings.push(v1::Setting {
                waiting_for_restart: waiting.iter().any(|waiting| key.starts_with(waiting)),
                key,
                value,
                source,
            });
        }
        settings
    }
}

/// Does what may wait for a disk.
async fn on_disk<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, PoolRefused> + Send + 'static,
) -> Result<T, PoolRefused> {
    let done = spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(PoolRefused::Io(error.to_string())))
}

fn response(reloaded: Reloaded) -> v1::ReloadResponse {
    v1::ReloadResponse {
        parts: reloaded.sections.iter().map(ToString::to_string).collect(),
        waiting_for_restart: reloaded.waiting_for_restart,
        warnings: reloaded.warnings,
    }
}

fn wrong_parts(refused: ReloadRefused) -> Vec<WrongPart> {
    let wrong = refused.0.into_iter();
    wrong
        .map(|wrong| WrongPart {
            part: wrong.section.to_string(),
            problem: wrong.text,
        })
        .collect()
}

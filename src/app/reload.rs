//! What is read from files at the start and again on SIGHUP. A reload in which
//! anything is wrong changes nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use crate::bridges::BridgeList;
use crate::broker::{Broker, Knowledge};
use crate::config::{self, Config, Inputs};
use crate::geoip::{self, GeoIp};
use crate::telemetry::LogControl;
use crate::wire::relay_pattern::RelayPattern;

use super::certificates::{Certificates, Source};

/// Reads all that the broker is to know; `known` is what it knew of countries
/// until now. The error names the setting.
pub(super) fn knowledge(config: &Config, known: &GeoIp) -> anyhow::Result<Knowledge> {
    Ok(Knowledge {
        bridges: match &config.broker.bridge_list_path {
            Some(path) => BridgeList::parse(&read("broker.bridge_list_path", path)?)
                .with_context(|| wrong("broker.bridge_list_path", path))?,
            None => BridgeList::default(),
        },
        allowed_relay_pattern: RelayPattern::from(&*config.broker.allowed_relay_pattern),
        default_relay_pattern: RelayPattern::from(&*config.broker.default_relay_pattern),
        poll_interval: match &config.poll_interval.filepath {
            Some(path) => config
                .poll_interval
                .overridden_by(&read("poll_interval.filepath", path)?)
                .with_context(|| wrong("poll_interval.filepath", path))?,
            None => config.poll_interval.clone(),
        },
        geoip: Arc::new(countries(&config.geoip, known)?),
    })
}

/// Reads the databases. A default one that is missing at the start leaves its
/// countries unknown; the configuration's check has said so, or refused a given
/// one. One that is missing later is wrong.
fn countries(settings: &geoip::Settings, known: &GeoIp) -> anyhow::Result<GeoIp> {
    let mut geoip = GeoIp::default();
    if settings.disable {
        return Ok(geoip);
    }
    let read = |key, path: &Path, was_there: bool| match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !was_there => Ok(None),
        read => read.map(Some).with_context(|| wrong(key, path)),
    };
    let (key, path) = ("geoip.geoipdb", &settings.geoipdb);
    if let Some(content) = read(key, path, known.has_ipv4())? {
        let loaded = geoip.load_ipv4(&content);
        loaded.with_context(|| wrong(key, path))?;
    }
    let (key, path) = ("geoip.geoip6db", &settings.geoip6db);
    if let Some(content) = read(key, path, known.has_ipv6())? {
        let loaded = geoip.load_ipv6(&content);
        loaded.with_context(|| wrong(key, path))?;
    }
    Ok(geoip)
}

/// What a SIGHUP makes anew.
pub(super) struct Reloader {
    /// What the configuration is made from.
    pub(super) inputs: Inputs,
    /// The configuration in force.
    pub(super) config: Config,
    /// What is logged.
    pub(super) log: LogControl,
}

impl Reloader {
    /// Reads the configuration and all files it names anew, and swaps them at
    /// once if all of it is good. The real databases have some 700,000 lines:
    /// they are read on a thread of their own.
    pub(super) async fn reload(&mut self, broker: &Broker, certificates: &Certificates) {
        let (inputs, before) = (self.inputs.clone(), broker.knowledge());
        let served = certificates.clone();
        let read = move || {
            let config = config::load(&inputs)?.config;
            let knowledge = knowledge(&config, &before.geoip)?;
            let certificate = served.read(&config)?;
            anyhow::Ok((config, knowledge, certificate))
        };
        let read = spawn_blocking(read).await.context("reading failed");
        let applied = read.flatten().and_then(|(config, knowledge, certificate)| {
            self.log.set_level(&config.telemetry.log_level)?;
            broker.set_knowledge(knowledge);
            certificates.apply(certificate);
            self.name_what_waits(&config);
            self.config = config;
            Ok(())
        });
        match applied {
            Ok(()) => tracing::info!(
                "reloaded bridges, relay patterns, poll intervals, countries, certificate and log level"
            ),
            Err(error) => {
                // Each wrong key of the configuration is a line.
                let error = format!("{error:#}").replace('\n', "; ");
                tracing::error!("nothing reloaded: {error}");
            }
        }
    }

    /// Says which sections have changed that only a restart reads.
    fn name_what_waits(&self, new: &Config) {
        let old = &self.config;
        let waiting: Vec<&str> = [
            ("listener", old.listener != new.listener),
            ("tls", Source::of(old) != Source::of(new)),
            ("acme", old.acme != new.acme),
            ("http", old.http != new.http),
            ("matching", old.matching != new.matching),
            ("metrics", old.metrics != new.metrics),
            ("otel", old.otel != new.otel),
            ("sqs", old.sqs != new.sqs),
        ]
        .into_iter()
        .filter_map(|(section, has_changed)| has_changed.then_some(section))
        .collect();
        if !waiting.is_empty() {
            tracing::warn!("what changed in {} waits for a restart", waiting.join(", "));
        }
    }
}

/// Reads the text file that a setting names.
pub(super) fn read(setting: &str, path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| wrong(setting, path))
}

fn wrong(setting: &str, path: &Path) -> String {
    format!("{setting}: {}", path.display())
}

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
use crate::config::Config;
use crate::geoip::{self, GeoIp};
use crate::wire::relay_pattern::RelayPattern;

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

/// Reads everything anew, and swaps it at once if all of it is good. The real
/// databases have some 700,000 lines: they are read on a thread of their own.
pub(super) async fn reload(config: &Config, broker: &Broker) {
    let (config, before) = (config.clone(), broker.knowledge());
    let read = spawn_blocking(move || knowledge(&config, &before.geoip)).await;
    match read.context("reading failed").flatten() {
        Ok(knowledge) => {
            broker.set_knowledge(knowledge);
            tracing::info!("reloaded bridges, poll intervals and countries");
        }
        Err(error) => tracing::error!("nothing reloaded: {error:#}"),
    }
}

/// Reads the text file that a setting names.
pub(super) fn read(setting: &str, path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| wrong(setting, path))
}

fn wrong(setting: &str, path: &Path) -> String {
    format!("{setting}: {}", path.display())
}

//! The directory of bridges, poll intervals and rules, from the files named in the
//! configuration.

use std::sync::Arc;

use crate::app::{files, network_lists};
use crate::bridges::BridgeList;
use crate::broker::{Directory, PollInterval};
use crate::config::Config;
use crate::policy::Policy;
use crate::wire::relay_pattern::RelayPattern;

use super::problem::{Problem, ReloadRefused, Section};

pub(super) const BRIDGE_LIST: &str = "broker.bridge_list_path";
const POLL_INTERVALS: &str = "poll_interval.filepath";

/// The directory of a broker without the countries, and doubts about it.
pub(in crate::app) struct Known {
    pub(in crate::app) directory: Directory,
    /// The warnings about the directory.
    pub(in crate::app) warnings: Vec<String>,
    /// Faults that do not prevent a start, which goes on without the faulty part. A
    /// reload with such a fault changes nothing.
    pub(in crate::app) tolerated: Vec<Problem>,
}

impl Known {
    /// The warnings for a start.
    pub(in crate::app) fn warnings(&self) -> impl Iterator<Item = &str> {
        let tolerated = self.tolerated.iter().map(|problem| &*problem.text);
        self.warnings.iter().map(String::as_str).chain(tolerated)
    }
}

/// Reads the whole directory except the countries, which take long.
///
/// # Errors
/// Returns every invalid setting, including the tolerated ones, if any of them is not
/// tolerated.
pub(in crate::app) fn directory(config: &Config) -> Result<Known, ReloadRefused> {
    let intervals = Intervals::read(&config.poll_interval);
    let (bridges, policy) = match (bridges(config), policy(config)) {
        (Ok(bridges), Ok(policy)) => (bridges, policy),
        (bridges, policy) => {
            let bridges = bridges.err();
            let bridges = bridges.map(|error| Problem::new(Section::Bridges, &error));
            let policy = policy.err().into_iter().flatten();
            let wrong = bridges.into_iter().chain(policy).chain(intervals.wrong);
            return Err(ReloadRefused(wrong.collect()));
        }
    };
    let allowed_relay_pattern = RelayPattern::from(&*config.broker.allowed_relay_pattern);
    let default_relay_pattern = config.broker.default_relay_pattern.as_deref();
    let mut warnings = doubts(config, &bridges, &allowed_relay_pattern);
    warnings.extend(intervals.warnings);
    Ok(Known {
        directory: Directory {
            bridges,
            allowed_relay_pattern,
            default_relay_pattern: default_relay_pattern.map(RelayPattern::from),
            poll_interval: intervals.told,
            geoip: Arc::default(),
            policy: Arc::new(policy),
        },
        warnings,
        tolerated: intervals.wrong,
    })
}

fn bridges(config: &Config) -> anyhow::Result<BridgeList> {
    match &config.broker.bridge_list_path {
        Some(path) => files::read_bridges(BRIDGE_LIST, path),
        None => Ok(BridgeList::default()),
    }
}

fn policy(config: &Config) -> Result<Policy, Vec<Problem>> {
    network_lists::read(&config.policy).map_err(|wrong| {
        let wrong = wrong.iter();
        let problems = wrong.map(|error| Problem::new(Section::Policy, error));
        problems.collect()
    })
}

fn doubts(config: &Config, bridges: &BridgeList, allowed: &RelayPattern) -> Vec<String> {
    let path = config.broker.bridge_list_path.as_ref();
    let file = path
        .map(|path| files::named(BRIDGE_LIST, path))
        .unwrap_or_default();
    let doubts = bridges.doubts(allowed).into_iter();
    doubts.map(|doubt| doubt.of_file(&file)).collect()
}

/// The poll intervals from the settings and their file.
struct Intervals {
    told: PollInterval,
    /// Warnings about values in the file that have no effect.
    warnings: Vec<String>,
    /// The faults of the file. The reference broker starts without it, too.
    wrong: Vec<Problem>,
}

impl Intervals {
    fn read(settings: &PollInterval) -> Self {
        let mut intervals = Self {
            told: settings.clone(),
            warnings: Vec::new(),
            wrong: Vec::new(),
        };
        let Some(path) = &settings.filepath else {
            return intervals;
        };
        let mut add = |error: &anyhow::Error| {
            let wrong = Problem::new(Section::PollIntervals, error);
            intervals.wrong.push(wrong);
        };
        let text = match files::read_text(POLL_INTERVALS, path) {
            Ok(text) => text,
            Err(error) => {
                add(&error);
                return intervals;
            }
        };
        let file = files::named(POLL_INTERVALS, path);
        let overridden = settings.overridden_by(&text);
        for wrong in overridden.wrong {
            add(&anyhow::Error::from(wrong).context(file.clone()));
        }
        let unknown = overridden.unknown_keys.iter();
        let warnings = unknown.map(|key| format!("{file}: unknown key {key:?}, is ignored"));
        intervals.warnings = warnings.collect();
        intervals.told = overridden.intervals;
        intervals
    }
}

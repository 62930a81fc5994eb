//! Private pools, from the settings and the files named there, and those that the administration
//! has created.

mod kept;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};

use crate::bridges::BridgeList;
use crate::broker::Broker;
use crate::broker::limits::Limits;
use crate::broker::private_pools::settings::{POOLS_MAX, PoolSettings, Settings, ToPublic};
use crate::broker::private_pools::token::PoolToken;
use crate::broker::private_pools::{PoolKeys, PoolPlan, PrivatePools};
use crate::causes::with_causes;
use crate::config::Config;
use crate::grpc::admin::operations::PoolRefused;
use crate::metrics::LabelledTypes;

use super::supervisor::Supervisor;
use super::{entropy, files};

pub(super) use kept::KeptPool;

/// The pools of a broker with these limits, none of them there yet.
pub(super) fn none_yet(
    types: LabelledTypes,
    limits: &Arc<Limits>,
) -> anyhow::Result<Arc<PrivatePools>> {
    let key = entropy::key()?.into();
    Ok(Arc::new(PrivatePools::new(key, types, Arc::clone(limits))))
}

/// Reads the files of all pools, also of those that the administration has created. The error
/// names the pool, and no token.
pub(super) fn read(config: &Config) -> anyhow::Result<Vec<PoolPlan>> {
    let configured = config.pools.list.iter().map(configured);
    let mut plans: Vec<_> = configured.collect::<Result<_, _>>()?;
    if let Some(path) = &config.admin.pools_file {
        let pools = kept::read(path)?.into_iter();
        let pools = pools.map(|pool| plan(pool.settings, vec![pool.token], None, false));
        plans.extend(pools.collect::<Result<Vec<_>, _>>()?);
    }
    ensure!(
        plans.len() <= POOLS_MAX,
        "pools: there must not be more than {POOLS_MAX}, with those of admin.pools_file"
    );
    for (index, plan) in plans.iter().enumerate() {
        let name = &plan.settings.name;
        let mut others = plans[..index].iter();
        ensure!(
            others.all(|other| other.settings.name != *name),
            "pools: {name:?} is also in admin.pools_file"
        );
    }
    for (index, plan) in plans.iter().enumerate() {
        let has_same = |other: &&PoolPlan| {
            let mut tokens = other.tokens.iter();
            tokens.any(|token| plan.tokens.contains(token))
        };
        if let Some(other) = plans[..index].iter().find(has_same) {
            let names = [other, plan].map(|plan| &plan.settings.name);
            ensure!(
                false,
                "pools: {:?} and {:?} have a token in common",
                names[0],
                names[1]
            );
        }
    }
    Ok(plans)
}

fn configured(settings: &PoolSettings) -> anyhow::Result<PoolPlan> {
    let file = format!("pools: token_file of {:?}", settings.name);
    let tokens = files::read_text(&file, &settings.token_file)?;
    let tokens = PoolToken::parse_file(&tokens);
    let tokens = tokens.with_context(|| files::named(&file, &settings.token_file))?;
    plan(settings.clone(), tokens, bridges(settings)?, true)
}

fn plan(
    settings: PoolSettings,
    tokens: Vec<PoolToken>,
    bridges: Option<BridgeList>,
    is_configured: bool,
) -> anyhow::Result<PoolPlan> {
    Ok(PoolPlan {
        settings,
        tokens,
        bridges,
        keys: PoolKeys {
            window: entropy::bytes()?.into(),
            jitter_seed: entropy::seed()?,
            sharing: entropy::bytes()?.into(),
            learning: entropy::bytes()?.into(),
        },
        is_configured,
    })
}

fn bridges(settings: &PoolSettings) -> anyhow::Result<Option<BridgeList>> {
    let file = format!("pools: bridge_list_path of {:?}", settings.name);
    let path = settings.bridge_list_path.as_ref();
    path.map(|path| files::read_bridges(&file, path))
        .transpose()
}

/// The warnings about pools that nobody can use as they are.
pub(super) fn warnings(settings: &Settings, now: SystemTime) -> Vec<String> {
    let mut warnings = Vec::new();
    for pool in &settings.list {
        if pool.has_ended(now) {
            warnings.push(format!(
                "pools: {:?} has ended, and its tokens are unknown",
                pool.name
            ));
        }
        if pool.bridge_list_path.is_some() && pool.allowed_relay_pattern.is_none() {
            warnings.push(format!(
                "pools: {:?} has bridges of its own, but no allowed_relay_pattern: its proxies have to \
                 accept those of everybody, and may refuse to go to its own",
                pool.name
            ));
        }
        if pool.overflow == ToPublic::ToPublic && pool.bridge_list_path.is_some() {
            warnings.push(format!(
                "pools: of {:?} only those clients overflow whose bridge is also in the broker's list",
                pool.name
            ));
        }
    }
    warnings
}

/// The pools that the administration has created, as nodes of a cluster share them, by name.
pub(super) fn shareable(config: &Config) -> Result<Vec<(String, Vec<u8>)>, PoolRefused> {
    let Some(path) = &config.admin.pools_file else {
        return Ok(Vec::new());
    };
    let pools = kept::read(path).map_err(unreadable)?.into_iter();
    let named = pools.map(|pool| (pool.settings.name.clone(), pool.shareable()));
    Ok(named.collect())
}

/// Has a pool as another node of a cluster has it, or, without one, has it no more. Returns true
/// if that is new.
pub(super) fn share(
    config: &Config,
    broker: &Broker,
    name: &str,
    pool: Option<&[u8]>,
) -> Result<bool, PoolRefused> {
    let Some(pool) = pool else {
        return match delete(config, broker, name) {
            Ok(()) => Ok(true),
            Err(PoolRefused::Unknown) => Ok(false),
            Err(refused) => Err(refused),
        };
    };
    if config.pools.list.iter().any(|known| known.name == name) {
        return Err(PoolRefused::Configured);
    }
    let path = config.admin.pools_file.as_ref();
    let path = path.ok_or(PoolRefused::NoFile)?;
    let pool = KeptPool::from_shareable(pool).map_err(unreadable)?;
    let mut pools = kept::read(path).map_err(unreadable)?;
    if pools.contains(&pool) {
        return Ok(false);
    }
    pools.retain(|known| known.settings.name != pool.settings.name);
    if pools.len() + config.pools.list.len() >= POOLS_MAX {
        return Err(PoolRefused::TooMany);
    }
    pools.push(pool);
    change(config, broker, &pools, path)?;
    Ok(true)
}

/// Creates a pool, and returns it, unless that is only to be validated.
pub(super) fn create(
    config: &Config,
    broker: &Broker,
    settings: PoolSettings,
    validate_only: bool,
) -> Result<Option<KeptPool>, PoolRefused> {
    let path = config.admin.pools_file.as_ref();
    let path = path.ok_or(PoolRefused::NoFile)?;
    let plans = read(config).map_err(unreadable)?;
    if plans.iter().any(|plan| plan.settings.name == settings.name) {
        return Err(PoolRefused::Exists);
    }
    // Written nevertheless, it would keep the next start from reading the file.
    if plans.len() >= POOLS_MAX {
        return Err(PoolRefused::TooMany);
    }
    if validate_only {
        return Ok(None);
    }
    let token = PoolToken::from_random(entropy::bytes().map_err(unreadable)?);
    let created = KeptPool { token, settings };
    let mut pools = kept::read(path).map_err(unreadable)?;
    pools.push(created.clone());
    change(config, broker, &pools, path)?;
    Ok(Some(created))
}

/// Removes a pool that was created so.
pub(super) fn delete(config: &Config, broker: &Broker, name: &str) -> Result<(), PoolRefused> {
    if config.pools.list.iter().any(|pool| pool.name == name) {
        return Err(PoolRefused::Configured);
    }
    let path = config.admin.pools_file.as_ref();
    let path = path.ok_or(PoolRefused::Unknown)?;
    let mut pools = kept::read(path).map_err(unreadable)?;
    let before = pools.len();
    pools.retain(|pool| pool.settings.name != name);
    if pools.len() == before {
        return Err(PoolRefused::Unknown);
    }
    change(config, broker, &pools, path)
}

/// Writes the pools to their file, and puts them in force.
fn change(
    config: &Config,
    broker: &Broker,
    pools: &[KeptPool],
    path: &Path,
) -> Result<(), PoolRefused> {
    kept::write(path, pools).map_err(unreadable)?;
    let plans = read(config).map_err(unreadable)?;
    if let Some(pools) = broker.private_pools() {
        drop(pools.set(plans));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: anyhow::Error) -> PoolRefused {
    PoolRefused::Io(with_causes(error.as_ref()))
}

/// Puts the first pools in force.
pub(super) fn open(broker: &Arc<Broker>, plans: Vec<PoolPlan>) {
    if let Some(pools) = broker.private_pools() {
        pools.stand_beside(broker);
        drop(pools.set(plans));
    }
}

/// Runs the timers of all pools.
pub(super) fn drive(broker: &Arc<Broker>, supervisor: &Supervisor) {
    if let Some(pools) = broker.private_pools().cloned() {
        let driven = async move { pools.drive().await };
        supervisor.keep("the driver of private pools", driven);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    /// Pools with these names, files of tokens and files of bridges.
    fn settings(folder: &TempDir, pools: &[(&str, &str, Option<&str>)]) -> Settings {
        let file = |name: &str| folder.path().join(name);
        let list = pools.iter().map(|(name, tokens, bridges)| {
            let bridges = bridges.map(file);
            json!({"name": name, "token_file": file(tokens), "bridge_list_path": bridges})
        });
        let list: Vec<_> = list.collect();
        serde_json::from_value(json!({ "list": list })).unwrap()
    }

    fn error(settings: &Settings) -> String {
        with_causes(read(&config(settings)).unwrap_err().as_ref())
    }

    fn config(settings: &Settings) -> Config {
        Config {
            pools: settings.clone(),
            ..Config::default()
        }
    }

    #[test]
    fn mistakes_in_files_name_the_pool_and_the_file_and_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("good", "0123456789abcdef\n");
        write("same", "fedcba9876543210\n0123456789abcdef\n");
        write("short", "secret\n");
        write("rubbish", "{}\n");
        let one = |tokens, bridges| settings(&folder, &[("a", tokens, bridges)]);
        assert!(read(&config(&one("good", None))).is_ok());
        for (settings, parts) in [
            (
                one("nowhere", None),
                ["token_file of \"a\"", "no such file"],
            ),
            (
                one("short", None),
                ["token_file of \"a\"", "line 1: a token must have 16"],
            ),
            (
                one("good", Some("rubbish")),
                ["bridge_list_path of \"a\"", "line 1"],
            ),
            (
                settings(&folder, &[("a", "good", None), ("b", "same", None)]),
                ["\"a\" and \"b\"", "have a token in common"],
            ),
        ] {
            let error = error(&settings);
            assert!(error.starts_with("pools: "), "{error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
            assert!(
                !error.contains("secret") && !error.contains("0123"),
                "{error}"
            );
        }
    }

    #[test]
    fn pools_of_no_use_are_warned_of() {
        let list = json!({"list": [
            {"name": "a", "token_file": "t", "expires": "2026-01-01T00:00:00Z"},
            {"name": "b", "token_file": "t", "overflow": "to-public", "bridge_list_path": "l"},
            {"name": "c", "token_file": "t", "expires": "2999-01-01T00:00:00Z"},
        ]});
        let settings = serde_json::from_value(list).unwrap();
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24 * 365 * 60);
        let warnings = warnings(&settings, now);
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].contains("\"a\" has ended"));
        assert!(warnings[1].contains("\"b\" has bridges of its own"));
        assert!(warnings[2].contains("of \"b\" only"));
    }

    #[test]
    fn what_the_administration_creates_is_kept_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pools.json");
        let mut config = Config::default();
        let none = kept::read(&file).unwrap();
        assert!(none.is_empty());
        config.admin.pools_file = Some(file.clone());
        let token = PoolToken::from_random([7; 16]);
        let settings = PoolSettings {
            expires: Some("2999-01-01T00:00:00Z".to_owned()),
            overflow: ToPublic::ToPublic,
            ..PoolSettings::named("a".to_owned())
        };
        let pool = KeptPool {
            token: token.clone(),
            settings: settings.clone(),
        };
        kept::write(&file, &[pool]).unwrap();
        let plans = read(&config).unwrap();
        assert_eq!(plans.len(), 1);
        assert_eq!(
            (&plans[0].settings, &plans[0].tokens),
            (&settings, &vec![token])
        );
        assert!(!plans[0].is_configured);
        config.pools.list.push(PoolSettings {
            token_file: folder.path().join("t"),
            ..settings
        });
        fs::write(folder.path().join("t"), "0123456789abcdef").unwrap();
        let error = with_causes(read(&config).unwrap_err().as_ref());
        assert_eq!(error, "pools: \"a\" is also in admin.pools_file");
        fs::write(&file, "{\"pools\": 7, \"secret\"").unwrap();
        let error = with_causes(read(&config).unwrap_err().as_ref());
        assert!(error.starts_with("admin.pools_file: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

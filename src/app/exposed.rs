//! Secrets that other users of this machine can read.

use std::path::Path;

use crate::config::{Loaded, SettingSource};

use crate::file_access::{exposure_warning, regular};
use crate::tls::pem;

/// A warning for each file with a secret that others can read.
pub(super) fn warnings(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let keys = [
        ("tls.key", &config.tls.key),
        ("admin.tls.key", &config.admin.tls.key),
        ("federation.tls.key", &config.federation.tls.key),
        ("cluster.tls.key", &config.cluster.tls.key),
        ("cluster.key_file", &config.cluster.key_file),
        ("cluster.credentials_file", &config.cluster.credentials_file),
        ("cluster.nkey_file", &config.cluster.nkey_file),
        ("admin.pools_file", &config.admin.pools_file),
    ]
    .into_iter()
    .filter_map(|(setting, path)| exposure_warning(setting, path.as_deref()?));
    let certs = [
        ("tls.cert", &config.tls.cert),
        ("admin.tls.cert", &config.admin.tls.cert),
        ("federation.tls.cert", &config.federation.tls.cert),
        ("cluster.tls.cert", &config.cluster.tls.cert),
    ]
    .into_iter()
    .filter_map(|(setting, path)| {
        let path = path.as_deref().filter(|path| has_private_key(path))?;
        exposure_warning(setting, path)
    });
    let tokens = config.admin.tokens.iter().filter_map(|token| {
        let setting = format!("admin.tokens: the token of {:?}", token.name);
        exposure_warning(&setting, &token.file)
    });
    let pools = config.pools.list.iter().filter_map(|pool| {
        let setting = format!("pools: the token_file of {:?}", pool.name);
        exposure_warning(&setting, &pool.token_file)
    });
    let secrets = loaded
        .origins
        .secrets()
        .filter_map(|(setting, source)| match source {
            SettingSource::File(path, _) => exposure_warning(setting, path),
            _ => None,
        });
    keys.chain(certs)
        .chain(tokens)
        .chain(pools)
        .chain(secrets)
        .collect()
}

/// Returns true if a certificate file also contains a private key, as some tools write
/// for other servers.
fn has_private_key(path: &Path) -> bool {
    let has_key = |text: Vec<u8>| pem::private_key(&text).is_ok();
    regular::read(path).is_ok_and(has_key)
}

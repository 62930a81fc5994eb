//! Secrets that others on this machine can read.

use crate::config::{Loaded, SettingSource};

use crate::file_access::exposure_warning;

/// A warning of each file with a secret that others can read.
pub(super) fn warnings(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let keys = [
        ("tls.key", &config.tls.key),
        ("admin.tls.key", &config.admin.tls.key),
        ("federation.tls.key", &config.federation.tls.key),
    ];
    let keys = keys.into_iter();
    let keys = keys.filter_map(|(setting, path)| exposure_warning(setting, path.as_deref()?));
    let tokens = config.admin.tokens.iter().filter_map(|token| {
        let setting = format!("admin.tokens: the token of {:?}", token.name);
        exposure_warning(&setting, &token.file)
    });
    let secrets = loaded.origins.secrets();
    let secrets = secrets.filter_map(|(setting, source)| match source {
        SettingSource::File(path, _) => exposure_warning(setting, path),
        _ => None,
    });
    keys.chain(tokens).chain(secrets).collect()
}

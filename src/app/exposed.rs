//! Secrets that others on this machine can read.

use std::path::Path;

use crate::config::{Loaded, Source};

use super::access;

/// A warning of each file with a secret that others can read.
pub(super) fn warnings(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let keys = [
        ("tls.key", &config.tls.key),
        ("admin.tls.key", &config.admin.tls.key),
        ("federation.tls.key", &config.federation.tls.key),
    ];
    let keys = keys.into_iter();
    let keys = keys.filter_map(|(setting, path)| warning(setting, path.as_deref()?));
    let tokens = config.admin.tokens.iter().filter_map(|token| {
        let setting = format!("admin.tokens: the token of {:?}", token.name);
        warning(&setting, &token.file)
    });
    let secrets = loaded.origins.secrets();
    let secrets = secrets.filter_map(|(setting, source)| match source {
        Source::File(path, _) => warning(setting, path),
        _ => None,
    });
    keys.chain(tokens).chain(secrets).collect()
}

/// The warning about one file; none if it is nobody else's.
pub(super) fn warning(setting: &str, path: &Path) -> Option<String> {
    let path_text = path.display();
    access::is_exposed(path).then(|| {
        format!("{setting}: {path_text}: others on this machine can read it, better: chmod o-r")
    })
}

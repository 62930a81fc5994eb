//! Files named in the configuration, and the error for an unusable one.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use crate::bridges::BridgeList;
use crate::causes::with_causes;
use crate::file_access::{self, regular};
use crate::tls::Certificate;

/// The error for an unusable file named in the configuration. Like an invalid value, and
/// unlike a port in use, it persists across restarts.
#[derive(Debug, thiserror::Error)]
#[error("{}", with_causes(.0.as_ref()))]
pub(crate) struct WrongConfiguration(anyhow::Error);

/// Marks an error as one of the configuration.
pub(super) fn blame_configuration(error: anyhow::Error) -> anyhow::Error {
    WrongConfiguration(error).into()
}

/// Reads a certificate and its key from the files in the settings `cert` and `key` of a
/// section.
pub(super) fn read_pair(section: &str, cert: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let settings = ["cert", "key"].map(|name| format!("{section}.{name}"));
    let chain = read_file(&settings[0], cert)?;
    let secret = read_file(&settings[1], key)?;
    Certificate::from_pem(&chain, &secret)
        .map_err(|error| anyhow!(error.in_files((&settings[0], cert), (&settings[1], key))))
}

/// Reads a file named by a setting.
pub(super) fn read_file(setting: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    regular::read(path).with_context(|| named(setting, path))
}

/// Reads a text file named by a setting.
pub(super) fn read_text(setting: &str, path: &Path) -> anyhow::Result<String> {
    regular::read_to_string(path).with_context(|| named(setting, path))
}

/// Reads a bridge list named by a setting.
pub(super) fn read_bridges(setting: &str, path: &Path) -> anyhow::Result<BridgeList> {
    let text = read_text(setting, path)?;
    BridgeList::parse(&text).with_context(|| named(setting, path))
}

/// The setting followed by the file's path.
pub(super) fn named(setting: &str, path: &Path) -> String {
    format!("{setting}: {}", file_access::shown(setting, path))
}

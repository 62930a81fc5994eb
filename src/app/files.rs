//! Files that the configuration names, and the error of one that cannot be used.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use crate::file_access::regular;
use crate::tls::Certificate;

/// A file that the configuration names cannot be used. Like a wrong value, and
/// unlike a port that is taken, it stays so however often the broker is started.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct WrongConfiguration(anyhow::Error);

/// Says of an error that the configuration is to blame.
pub(super) fn blame_configuration(error: anyhow::Error) -> anyhow::Error {
    WrongConfiguration(error).into()
}

/// Reads a certificate and its key from the files that the settings `cert` and `key`
/// of a section name.
pub(super) fn read_pair(section: &str, cert: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let settings = ["cert", "key"].map(|name| format!("{section}.{name}"));
    let chain = read_file(&settings[0], cert)?;
    let secret = read_file(&settings[1], key)?;
    Certificate::from_pem(&chain, &secret)
        .map_err(|error| anyhow!(error.in_files((&settings[0], cert), (&settings[1], key))))
}

/// Reads a file that a setting names.
pub(super) fn read_file(setting: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    regular::read(path).with_context(|| named(setting, path))
}

/// Reads a text file that a setting names.
pub(super) fn read_text(setting: &str, path: &Path) -> anyhow::Result<String> {
    regular::read_to_string(path).with_context(|| named(setting, path))
}

/// The name of a file after that of its setting.
pub(super) fn named(setting: &str, path: &Path) -> String {
    format!("{setting}: {}", path.display())
}

//! The directory that keeps what was got by ACME over a restart. Its files
//! have other names than those of the reference broker, which are left alone.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::app::persistence::atomic_file;
use crate::file_access::{self, regular};
use crate::tls::acme::{AccountCredentials, Issued, Settings};

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.json";

/// The account at a certificate authority.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedAccount {
    pub(super) directory: String,
    pub(super) email: Option<String>,
    pub(super) credentials: AccountCredentials,
}

/// The last certificate, and what it was ordered for.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedCertificate {
    pub(super) directory: String,
    pub(super) hostnames: Vec<String>,
    pub(super) chain: String,
    pub(super) key: String,
}

impl SavedCertificate {
    pub(super) fn new(directory: &str, hostnames: &[String], issued: Issued) -> Self {
        Self {
            directory: directory.to_owned(),
            hostnames: hostnames.to_owned(),
            chain: issued.chain,
            key: issued.key,
        }
    }
}

/// The directory.
pub(super) struct Cache(PathBuf);

/// Refuses a directory that cannot be used, or has files in it that cannot be read:
/// the broker would order anew at every start. Touches nothing.
pub(in crate::app) fn check(settings: &Settings) -> anyhow::Result<()> {
    if settings.hostnames.is_empty() {
        return Ok(());
    }
    check_directory(&settings.cert_cache)
}

/// The warnings of a start.
pub(in crate::app) fn warning(settings: &Settings) -> Option<String> {
    if settings.hostnames.is_empty() {
        return None;
    }
    let path = &settings.cert_cache;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let is_open = mode & 0o077 != 0;
    is_open.then(|| {
        let path = path.display();
        format!("acme.cert_cache: {path}: others may enter it, better: chmod 700")
    })
}

fn check_directory(path: &Path) -> anyhow::Result<()> {
    let whose =
        "is it another user's? Nothing could be kept there, and every start would order anew";
    let wrong = |path: &Path| format!("acme.cert_cache: {}: {whose}", path.display());
    file_access::can_have_directory(path, true).with_context(|| wrong(path))?;
    for file in [ACCOUNT, CERTIFICATE].map(|name| path.join(name)) {
        atomic_file::absent_is_fine(file_access::can_read(&file)).with_context(|| wrong(&file))?;
    }
    Ok(())
}

impl Cache {
    /// Makes the directory, unless it is there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        check_directory(path)?;
        let wrong = || format!("acme.cert_cache: {}", path.display());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).with_context(wrong)?;
        Ok(Self(path.to_owned()))
    }

    /// The account that was saved last. One that cannot be read costs a new one.
    pub(super) fn account(&self) -> Option<SavedAccount> {
        self.load(ACCOUNT)
    }

    /// The certificate that was saved last. One that cannot be read costs an
    /// order.
    pub(super) fn certificate(&self) -> Option<SavedCertificate> {
        self.load(CERTIFICATE)
    }

    pub(super) async fn save_account(&self, account: &SavedAccount) -> io::Result<()> {
        self.save(ACCOUNT, account).await
    }

    pub(super) async fn save_certificate(&self, certificate: &SavedCertificate) -> io::Result<()> {
        self.save(CERTIFICATE, certificate).await
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.0.join(name);
        let loaded = match regular::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            // What serde_json says is not shown: it may quote the key.
            Ok(text) => serde_json::from_slice(&text).map_err(|_| "it is damaged".to_owned()),
        };
        match loaded {
            Ok(value) => Some(value),
            Err(reason) => {
                let path = path.display();
                tracing::warn!("acme.cert_cache: {path}: {reason}; going on without");
                None
            }
        }
    }

    async fn save<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)? + "\n";
        let path = self.0.join(name);
        spawn_blocking(move || atomic_file::replace(&path, &text, atomic_file::PRIVATE)).await?
    }
}

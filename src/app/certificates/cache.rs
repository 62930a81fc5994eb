//! The directory that keeps the ACME account and certificate across restarts. Its file
//! names differ from those of the reference broker, whose files are left alone.

use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::app::persistence::atomic_file;
use crate::file_access::{self, regular};
use crate::tls::acme::{AccountCache, Issued, Settings};

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.json";

/// The account at a certificate authority.
#[derive(Clone, Serialize, Deserialize)]
struct SavedAccount {
    directory: String,
    email: Option<String>,
    credentials: AccountKey,
}

/// The account's private key: PKCS #8, in URL-safe base64.
#[derive(Clone, Serialize, Deserialize)]
struct AccountKey {
    key_pkcs8: String,
}

impl SavedAccount {
    fn new(contact: &[String], directory: &str, key: &[u8]) -> Self {
        Self {
            directory: directory.to_owned(),
            email: email(contact),
            credentials: AccountKey {
                key_pkcs8: BASE64_URL_SAFE_NO_PAD.encode(key),
            },
        }
    }

    /// The key, if the account belongs to this authority and contact address.
    fn key(&self, contact: &[String], directory: &str) -> Option<Vec<u8>> {
        let fits = self.directory == directory && self.email == email(contact);
        let key = BASE64_URL_SAFE_NO_PAD.decode(&self.credentials.key_pkcs8);
        key.ok().filter(|_| fits)
    }
}

fn email(contact: &[String]) -> Option<String> {
    let contact = contact.first()?;
    Some(
        contact
            .strip_prefix("mailto:")
            .unwrap_or(contact)
            .to_owned(),
    )
}

/// The last certificate, and the order that it was issued for.
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

/// The directory, and the account if it was read or could not be saved.
#[derive(Clone)]
pub(super) struct Cache {
    path: Arc<Path>,
    account: Arc<Mutex<Option<SavedAccount>>>,
}

/// Refuses a directory that cannot be used, or that contains unreadable files: the broker
/// would order a new certificate at every start. Changes nothing.
pub(in crate::app) fn check(settings: &Settings) -> anyhow::Result<()> {
    if settings.hostnames.is_empty() {
        return Ok(());
    }
    check_directory(&settings.cert_cache)
}

/// The warnings for a start.
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
    /// Creates the directory if it does not exist.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        check_directory(path)?;
        let wrong = || format!("acme.cert_cache: {}", path.display());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).with_context(wrong)?;
        let cache = Self {
            path: path.into(),
            account: Arc::default(),
        };
        *cache.saved_account() = cache.load(ACCOUNT);
        Ok(cache)
    }

    /// The last saved certificate. If it cannot be read, the broker orders a new one.
    pub(super) fn certificate(&self) -> Option<SavedCertificate> {
        self.load(CERTIFICATE)
    }

    pub(super) async fn save_certificate(&self, certificate: &SavedCertificate) -> io::Result<()> {
        self.save(CERTIFICATE, certificate).await
    }

    /// Makes the next order open a new account.
    pub(super) fn forget_account(&self) {
        *self.saved_account() = None;
    }

    fn saved_account(&self) -> MutexGuard<'_, Option<SavedAccount>> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path.join(name);
        let loaded = match regular::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            // The error of serde_json is not shown: it may quote the key.
            Ok(text) => serde_json::from_slice(&text).map_err(|_| "it is damaged".to_owned()),
        };
        match loaded {
            Ok(value) => Some(value),
            Err(reason) => {
                let path = path.display();
                tracing::warn!("acme.cert_cache: {path}: {reason}; going on without it");
                None
            }
        }
    }

    async fn save<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)? + "\n";
        let path = self.path.join(name);
        spawn_blocking(move || atomic_file::replace(&path, &text, atomic_file::PRIVATE)).await?
    }
}

/// The account's key is saved before the authority learns of it. If it cannot be read or
/// saved, the broker opens a new account.
#[async_trait]
impl AccountCache for Cache {
    type EA = Infallible;

    async fn load_account(
        &self,
        contact: &[String],
        directory: &str,
    ) -> Result<Option<Vec<u8>>, Infallible> {
        let account = self.saved_account();
        Ok(account
            .as_ref()
            .and_then(|saved| saved.key(contact, directory)))
    }

    async fn store_account(
        &self,
        contact: &[String],
        directory: &str,
        key: &[u8],
    ) -> Result<(), Infallible> {
        let account = SavedAccount::new(contact, directory, key);
        *self.saved_account() = Some(account.clone());
        if let Err(error) = self.save(ACCOUNT, &account).await {
            tracing::warn!(%error, "acme.cert_cache: cannot save the account");
        }
        Ok(())
    }
}

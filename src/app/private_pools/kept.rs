//! The file of the private pools that the administration has created.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use serde::{Deserialize, Serialize};

use crate::app::files;
use crate::app::persistence::atomic_file;
use crate::broker::private_pools::settings::PoolSettings;
use crate::broker::private_pools::token::PoolToken;
use crate::file_access::regular;

const SETTING: &str = "admin.pools_file";

/// A pool of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct KeptPool {
    pub(in crate::app) token: PoolToken,
    pub(super) settings: PoolSettings,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    pools: Vec<WrittenPool>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPool {
    token: String,
    settings: PoolSettings,
}

/// Reads the file; one that is not there has no pools.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<KeptPool>> {
    let text = match regular::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| files::named(SETTING, path)),
    };
    parse(&text).with_context(|| files::named(SETTING, path))
}

fn parse(text: &str) -> anyhow::Result<Vec<KeptPool>> {
    // serde's own text may repeat what is written there.
    let file: KeptFile = serde_json::from_str(text).map_err(|error| {
        anyhow!(
            "line {}, column {}: not as the broker writes it",
            error.line(),
            error.column()
        )
    })?;
    file.pools.into_iter().map(WrittenPool::checked).collect()
}

/// Replaces the file, which only its owner may read.
pub(super) fn write(path: &Path, pools: &[KeptPool]) -> anyhow::Result<()> {
    let file = KeptFile {
        pools: pools.iter().map(WrittenPool::of).collect(),
    };
    let text = serde_json::to_string_pretty(&file)? + "\n";
    let written = atomic_file::replace_target(path, &text, atomic_file::PRIVATE);
    written.with_context(|| format!("{}: cannot be written", files::named(SETTING, path)))
}

impl KeptPool {
    /// The form in which nodes of a cluster share it: JSON, as in the file.
    pub(in crate::app) fn shareable(&self) -> Vec<u8> {
        // Strings, numbers and a path of the file's own.
        serde_json::to_vec(&WrittenPool::of(self)).unwrap_or_default()
    }

    pub(super) fn from_shareable(text: &[u8]) -> anyhow::Result<Self> {
        // serde's own text may repeat what is written there.
        let pool: WrittenPool =
            serde_json::from_slice(text).map_err(|_| anyhow!("not as a broker writes it"))?;
        pool.checked()
    }
}

impl WrittenPool {
    fn of(pool: &KeptPool) -> Self {
        Self {
            token: pool.token.reveal().to_owned(),
            settings: pool.settings.clone(),
        }
    }

    fn checked(self) -> anyhow::Result<KeptPool> {
        let name = &self.settings.name;
        if let Some(problem) = self.settings.problem() {
            return Err(anyhow!("{name:?} {problem}"));
        }
        let tokens = PoolToken::parse_file(&self.token);
        let mut tokens = tokens.with_context(|| format!("the token of {name:?}"))?;
        ensure!(tokens.len() == 1, "{name:?} must have one token");
        Ok(KeptPool {
            token: tokens.remove(0),
            settings: self.settings,
        })
    }
}

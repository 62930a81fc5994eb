//! The changes that a reload finds: keys with other values, and files with other content.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest;

use crate::config::Config;
use crate::file_access::regular;

/// Tells the content of a file from any other, without keeping a secret.
type Digest = [u8; 32];

/// The content of the files that the configuration names, but for the country databases,
/// which take their time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct FileContents(BTreeMap<String, Digest>);

impl FileContents {
    /// Reads the files. One that cannot be read has no content.
    pub(in crate::app) fn read(config: &Config) -> Self {
        let tokens = config.admin.tokens.iter().map(|token| {
            let name = format!("admin.tokens ({})", token.name);
            (name, Some(&*token.file))
        });
        let named = [
            ("broker.bridge_list_path", &config.broker.bridge_list_path),
            ("poll_interval.filepath", &config.poll_interval.filepath),
            ("tls.cert", &config.tls.cert),
            ("tls.key", &config.tls.key),
            ("admin.tls.cert", &config.admin.tls.cert),
            ("admin.tls.key", &config.admin.tls.key),
            ("admin.tls.client_ca", &config.admin.tls.client_ca),
            ("federation.tls.cert", &config.federation.tls.cert),
            ("federation.tls.key", &config.federation.tls.key),
            ("federation.tls.ca", &config.federation.tls.ca),
        ]
        .map(|(name, path)| (name.to_owned(), path.as_deref()));
        let pools = config.pools.list.iter().flat_map(|pool| {
            let named = |key| format!("pools.list ({} of {})", key, pool.name);
            [
                (named("token_file"), Some(&*pool.token_file)),
                (named("bridge_list_path"), pool.bridge_list_path.as_deref()),
            ]
        });
        let networks = config.policy.network_files().into_iter();
        let networks = networks.map(|(rule, path)| (format!("policy.rules ({rule})"), Some(path)));
        let files = named.into_iter();
        let files = files.chain(tokens).chain(pools).chain(networks);
        Self(
            files
                .filter_map(|(name, path)| Some((name, content(path?)?)))
                .collect(),
        )
    }

    /// The files of both whose content is another.
    fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        let is_other = |name: &&String| before.0.get(*name) != self.0.get(*name);
        self.0.keys().filter(is_other).map(String::as_str)
    }
}

fn content(path: &Path) -> Option<Digest> {
    let content = regular::read(path).ok()?;
    let mut known = Digest::default();
    known.copy_from_slice(digest::digest(&digest::SHA256, &content).as_ref());
    Some(known)
}

/// A configuration with the content of its files.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) config: &'a Config,
    pub(super) files: &'a FileContents,
}

/// The keys that have another value, and the files that have another content under the
/// same key.
pub(super) fn changes(before: State<'_>, after: State<'_>) -> Vec<String> {
    let (old, new) = (before.config.flatten(), after.config.flatten());
    let pairs = old.into_iter().zip(new);
    let other = pairs.filter(|((_, old), (_, new))| old != new);
    let mut changes: Vec<String> = other.map(|((key, _), _)| key).collect();
    let files = after.files.changed_since(before.files);
    let same_key: Vec<String> = files
        .filter(|name| !changes.iter().any(|key| name.starts_with(&**key)))
        .map(|name| format!("the file of {name}"))
        .collect();
    changes.extend(same_key);
    changes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn keys_and_the_content_of_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridges");
        fs::write(&path, "one").unwrap();
        let mut old = Config::default();
        old.broker.bridge_list_path = Some(path.clone());
        let read = FileContents::read(&old);
        let before = State {
            config: &old,
            files: &read,
        };
        assert_eq!(changes(before, before), [""; 0]);
        fs::write(&path, "two").unwrap();
        let mut new = old.clone();
        new.limits.answer_burst += 1;
        let files = FileContents::read(&new);
        let after = State {
            config: &new,
            files: &files,
        };
        assert_eq!(
            changes(before, after),
            ["limits.answer_burst", "the file of broker.bridge_list_path"]
        );
        // Under another key it is another file anyway.
        let other = folder.path().join("others");
        fs::write(&other, "three").unwrap();
        new.broker.bridge_list_path = Some(other);
        let files = FileContents::read(&new);
        let after = State {
            config: &new,
            files: &files,
        };
        assert_eq!(
            changes(before, after),
            ["broker.bridge_list_path", "limits.answer_burst"]
        );
    }
}

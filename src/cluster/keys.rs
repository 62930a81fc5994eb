//! The keys that all nodes of a cluster have: messages are sealed with them, since the bus
//! would otherwise show the addresses in offers to whoever may listen there.
//!
//! A sealed message is a byte with the version of the format, a nonce, the encrypted message
//! and its tag (AES-256-GCM-SIV, RFC 8452, whose nonces may be random). The subject is
//! authenticated with it, so that no message can be sent on to another node.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::broker::{SidDigest, SidKey};

/// The length of a key, in bytes.
const KEY_LENGTH: usize = 32;
/// The maximum number of keys: the one in use, and those before and after it.
const KEYS_MAX: usize = 4;
/// The version of the format of sealed messages.
const VERSION: u8 = 1;
/// The number of bytes before the encrypted message.
const HEAD: usize = 1 + NONCE_LEN;

/// The keys of a cluster. The first one seals, and all open.
pub struct ClusterKeys(Vec<ClusterKey>);

struct ClusterKey {
    seal: RandomizedNonceKey,
    sids: SidKey,
}

/// The mistake in a file of keys. It does not repeat the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// A line is not a key.
    #[error("line {0} must be a key of 32 bytes in base64, as `openssl rand -base64 32` prints it")]
    Line(usize),
    /// There is no key.
    #[error("must have a key of 32 bytes in base64, as `openssl rand -base64 32` prints it")]
    Empty,
    /// There are too many keys.
    #[error("must not have more than {KEYS_MAX} keys")]
    TooMany,
}

/// The error for a message that is not of this cluster, or was changed on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is not sealed with a key of this cluster")]
pub struct NotOurs;

impl ClusterKeys {
    /// Reads a file of keys, one a line; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, InvalidKeys> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let key = STANDARD.decode(line).ok();
            let key = key.and_then(|key| <[u8; KEY_LENGTH]>::try_from(key).ok());
            let key = key.as_ref().and_then(ClusterKey::derive);
            keys.push(key.ok_or(InvalidKeys::Line(index + 1))?);
        }
        match keys.len() {
            0 => Err(InvalidKeys::Empty),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(InvalidKeys::TooMany),
        }
    }

    /// Seals a message for a subject.
    ///
    /// # Errors
    /// Only if the system has no random numbers.
    pub fn seal(&self, subject: &str, message: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let key = self.0.first().ok_or(NotOurs)?;
        let mut sealed = message.to_vec();
        let nonce = key
            .seal
            .seal_in_place_append_tag(Aad::from(subject), &mut sealed)
            .map_err(|_| NotOurs)?;
        let mut whole = Vec::with_capacity(HEAD + sealed.len());
        whole.push(VERSION);
        whole.extend_from_slice(nonce.as_ref());
        whole.append(&mut sealed);
        Ok(whole)
    }

    /// Opens a message that came on a subject.
    pub(super) fn open(&self, subject: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let mut keys = self.0.iter();
        let opened = keys.find_map(|key| key.open(subject, sealed));
        opened.ok_or(NotOurs)
    }

    /// Returns true if a message was sealed with another key than the first one: it is about to go
    /// out of use, or not in use everywhere yet.
    pub(super) fn is_sealed_otherwise(&self, subject: &str, sealed: &[u8]) -> bool {
        let [first, _, ..] = self.0.as_slice() else {
            return false;
        };
        !sealed.is_empty() && first.open(subject, sealed).is_none()
    }

    /// The keys by which Sids are recognized. While keys are replaced, the digest of another
    /// node may be that of any of them.
    pub fn sid_keys(&self) -> Vec<SidKey> {
        self.0.iter().map(|key| key.sids).collect()
    }

    /// The digest by which other nodes recognize a Sid.
    pub(super) fn digest(&self, sid: &crate::wire::proxy::Sid) -> Option<SidDigest> {
        self.0.first().map(|key| key.sids.digest(sid))
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClusterKeys")
            .finish_non_exhaustive()
    }
}

impl ClusterKey {
    fn open(&self, subject: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (head, body) = sealed.split_at_checked(HEAD)?;
        let (&version, nonce) = head.split_first()?;
        if version != VERSION {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut message = body.to_vec();
        let opened = self
            .seal
            .open_in_place(nonce, Aad::from(subject), &mut message);
        let length = opened.ok()?.len();
        message.truncate(length);
        Some(message)
    }

    /// Derives the keys of both purposes, so that neither tells anything of the other.
    fn derive(key: &[u8; KEY_LENGTH]) -> Option<Self> {
        let seal: [u8; 32] = derived(key, b"snowflake-broker cluster messages")?;
        let sids: [u8; 16] = derived(key, b"snowflake-broker cluster sids")?;
        Some(Self {
            seal: RandomizedNonceKey::new(&AES_256_GCM_SIV, &seal).ok()?,
            sids: SidKey::from(sids),
        })
    }
}

/// A key of `N` bytes for one purpose (HKDF, RFC 5869).
fn derived<const N: usize>(key: &[u8], purpose: &[u8]) -> Option<[u8; N]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut derived = [0; N];
    let pseudorandom = Salt::new(HKDF_SHA256, &[]).extract(key);
    let purposes = [purpose];
    let output = pseudorandom.expand(&purposes, Length(N)).ok()?;
    output.fill(&mut derived).ok()?;
    Some(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: &str = "snowflake.node.a";

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; KEY_LENGTH])
    }

    fn keys(text: &str) -> ClusterKeys {
        ClusterKeys::parse(text).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_by_who_has_the_key() {
        let keys = keys(&key(1));
        let sealed = keys.seal(SUBJECT, b"a message").unwrap();
        assert!(!sealed.windows(9).any(|part| part == b"a message"));
        assert_eq!(keys.open(SUBJECT, &sealed).unwrap(), b"a message");
        assert_ne!(sealed, keys.seal(SUBJECT, b"a message").unwrap());
    }

    #[test]
    fn what_was_changed_or_is_for_another_subject_is_not_opened() {
        let ours = keys(&key(1));
        let sealed = ours.seal(SUBJECT, b"a message").unwrap();
        assert_eq!(ours.open("snowflake.node.b", &sealed), Err(NotOurs));
        assert_eq!(keys(&key(2)).open(SUBJECT, &sealed), Err(NotOurs));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(ours.open(SUBJECT, &changed), Err(NotOurs), "{index}");
            assert_eq!(ours.open(SUBJECT, &sealed[..index]), Err(NotOurs));
        }
    }

    #[test]
    fn keys_are_replaced_one_node_after_the_other() {
        let (old, both, turned, new) = (
            keys(&key(1)),
            keys(&format!("{}\n{}", key(1), key(2))),
            keys(&format!(
                "# the new one\n{}\n\n{} # the old one\n",
                key(2),
                key(1)
            )),
            keys(&key(2)),
        );
        for [one, other] in [[&old, &both], [&both, &turned], [&turned, &new]] {
            for [from, to] in [[one, other], [other, one]] {
                let sealed = from.seal(SUBJECT, b"a message").unwrap();
                assert_eq!(to.open(SUBJECT, &sealed).unwrap(), b"a message");
                let digest = from.sid_keys()[0];
                assert!(to.sid_keys().contains(&digest));
            }
        }
    }

    #[test]
    fn mistakes_are_named_by_their_line_without_the_key() {
        let short = STANDARD.encode([7; 31]);
        let error = |text: &str| ClusterKeys::parse(text).unwrap_err().to_string();
        assert!(error(&format!("{}\n{short}", key(1))).starts_with("line 2 must be a key"));
        assert!(!error(&short).contains(&short));
        assert!(error("# nothing\n").starts_with("must have a key"));
        let many = vec![key(1); KEYS_MAX + 1].join("\n");
        assert_eq!(error(&many), "must not have more than 4 keys");
    }
}

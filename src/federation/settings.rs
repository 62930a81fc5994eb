//! What an operator can set about other brokers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::broker::loan::{Lending, Terms};
use crate::metrics::labels::PeerName;

/// Brokers that lend each other proxies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address and port where borrowers come; without it nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// A host name and port at which DNS knows the lenders that have no URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discover: Option<String>,
    /// How many proxies of each pool are not lent.
    pub reserve: usize,
    /// Our certificate, and who vouches for the others'.
    pub tls: TlsSettings,
    /// The other brokers.
    pub peers: Vec<PeerSettings>,
}

/// Our certificate, for both directions, and who vouches for the others'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The authorities that the others' certificates have to be from, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// Another broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// The DNS or URI name in its certificate.
    pub name: String,
    /// Where it listens, `https://HOST:PORT`. Without it, it is asked if
    /// [`Settings::discover`] finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it gets proxies of ours.
    #[serde(default = "yes")]
    pub lend: bool,
    /// Whether it is asked for proxies of its.
    #[serde(default = "yes")]
    pub borrow: bool,
    /// How many offers may wait for an answer, in either direction.
    #[serde(default = "default_in_flight")]
    pub max_in_flight: usize,
    /// How many offers it may send a second, in the long run; as many may come
    /// at once.
    #[serde(default = "default_per_second")]
    pub max_per_second: NonZeroU32,
}

fn yes() -> bool {
    true
}

fn default_in_flight() -> usize {
    100
}

fn default_per_second() -> NonZeroU32 {
    const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();
    PER_SECOND
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: None,
            discover: None,
            reserve: 20,
            tls: TlsSettings::default(),
            peers: Vec::new(),
        }
    }
}

impl Settings {
    /// To whom proxies are lent, and how many.
    pub fn lending(&self) -> Lending {
        let peers = self.peers.iter();
        let terms: BTreeMap<_, _> = peers.map(|peer| (peer.id(), peer.terms())).collect();
        Lending {
            reserve: self.reserve,
            terms,
        }
    }

    /// Whether there is anything to do: somebody may come, or is asked.
    pub fn is_used(&self) -> bool {
        self.listen.is_some() || !self.peers.is_empty()
    }
}

impl PeerSettings {
    /// Its name, as it is counted by.
    pub fn id(&self) -> PeerName {
        PeerName::from(&*self.name)
    }

    /// Whether it is asked wherever DNS finds it.
    pub(super) fn is_discovered(&self) -> bool {
        self.borrow && self.url.is_none()
    }

    /// Where it is asked (`HOST:PORT`), if the settings say.
    pub(super) fn addr(&self) -> Option<&str> {
        let url = self.url.as_deref().filter(|_| self.borrow)?;
        let url = url.strip_prefix("https://")?;
        Some(url.strip_suffix('/').unwrap_or(url))
    }

    fn terms(&self) -> Terms {
        Terms {
            lends: self.lend,
            max_in_flight: self.max_in_flight,
            max_per_second: self.max_per_second,
        }
    }
}

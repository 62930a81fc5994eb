//! Settings of the federation.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::broker::loan::{Lending, Terms};
use crate::host_port::{self, is_address, is_dns_name};
use crate::metrics::labels::{PeerName, PrivatePoolName};
use crate::peers::{BorrowingTerms, SharedPools};
use crate::report::{COUNT_MAX, SettingsReport};

/// The maximum number of peers: operators do not know more brokers than that.
const PEERS_MAX: usize = 1_000;
/// The bounds of [`PeerSettings::max_in_flight`]: the calls that one connection carries.
const IN_FLIGHT: RangeInclusive<usize> = 1..=1_000;
/// The maximum of [`PeerSettings::max_per_second`].
const PER_SECOND_MAX: u32 = 1_000_000;

/// Settings for lending proxies to peers and borrowing from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address and port for borrowers; without it, nothing is lent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// A host name and port for finding the lenders without a URL by DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discover: Option<String>,
    /// The number of proxies per pool that are never lent.
    pub reserve: usize,
    /// Our certificate, and the authorities accepted for peers.
    pub tls: PeerTlsSettings,
    /// The peers.
    pub peers: Vec<PeerSettings>,
}

/// Our certificate for both directions, and the authorities accepted for peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerTlsSettings {
    /// The certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The authorities that must have issued the peers' certificates, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// The DNS or URI name in the peer's certificate.
    pub name: String,
    /// The peer's address, `https://HOST:PORT`. Without it, the peer is found by
    /// [`Settings::discover`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// True if proxies are lent to the peer.
    #[serde(default = "yes")]
    pub lend: bool,
    /// True if proxies are borrowed from the peer.
    #[serde(default = "yes")]
    pub borrow: bool,
    /// The maximum number of offers waiting for an answer, in either direction.
    #[serde(default = "default_in_flight")]
    pub max_in_flight: usize,
    /// The sustained rate, per second, and burst of offers that the peer may send.
    #[serde(default = "default_per_second")]
    pub max_per_second: NonZeroU32,
    /// The private pools that the peer has, too: their proxies are lent and borrowed for
    /// their clients, as far as everybody's are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_pools: Vec<String>,
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
            tls: PeerTlsSettings::default(),
            peers: Vec::new(),
        }
    }
}

impl Settings {
    /// Reports mistakes, and settings without effect.
    pub fn check(&self, report: &mut SettingsReport) {
        self.check_addresses(report);
        self.check_certificates(report);
        self.check_peers(report);
    }

    fn check_addresses(&self, report: &mut SettingsReport) {
        if self.listen.as_deref().is_some_and(|addr| !is_address(addr)) {
            report.refuse(&["listen"], host_port::EXPECTED);
        }
        let discover = self.discover.as_deref();
        if discover.is_some_and(|name| !is_name_with_port(name)) {
            let problem = "must be HOST:PORT, such as brokers.example:7443";
            report.refuse(&["discover"], problem);
        }
        report.within("reserve", self.reserve, &(0..=COUNT_MAX));
    }

    fn check_certificates(&self, report: &mut SettingsReport) {
        const KEYS: [&str; 3] = ["tls.cert", "tls.key", "tls.ca"];
        let paths = [&self.tls.cert, &self.tls.key, &self.tls.ca];
        let (given, missing): (Vec<_>, Vec<_>) = KEYS
            .into_iter()
            .zip(paths)
            .partition(|(_, path)| path.is_some());
        if missing.is_empty() {
            return;
        }
        let missing: Vec<_> = missing
            .iter()
            .map(|(key, _)| format!("federation.{key}"))
            .collect();
        let needs = format!("needs {} as well", missing.join(", "));
        let needing = match given.first() {
            Some((key, _)) => Some(*key),
            None if self.listen.is_some() => Some("listen"),
            None if !self.peers.is_empty() => Some("peers"),
            None => None,
        };
        if let Some(key) = needing {
            report.refuse(&[&[key], &KEYS[..]].concat(), needs);
        }
    }

    fn check_peers(&self, report: &mut SettingsReport) {
        if self.peers.len() > PEERS_MAX {
            report.refuse(
                &["peers"],
                format!("must not have more than {PEERS_MAX} peers"),
            );
        }
        report.refuse_if("peers", self.peers.iter().find_map(PeerSettings::problem));
        let mut names = BTreeSet::new();
        let twice = self.peers.iter().find(|peer| !names.insert(&peer.name));
        let problem = twice.map(|twice| format!("has the name {:?} twice", twice.name));
        report.refuse_if("peers", problem);
        if self.listen.is_some() && self.peers.is_empty() {
            let problem = "lets nobody in, because federation.peers is empty";
            report.warn(&["listen", "peers"], problem);
        }
        let lost = self.peers.iter().find(|peer| peer.is_discovered());
        if let (None, Some(lost)) = (&self.discover, lost) {
            let problem = format!(
                "{:?} is never asked for proxies: give it a url, set federation.discover, or set \
                 borrow = false",
                lost.name
            );
            report.warn(&["peers", "discover"], problem);
        }
    }

    /// The terms of lending for each peer.
    pub fn lending(&self) -> Lending {
        let peers = self.peers.iter();
        let terms: BTreeMap<_, _> = peers.map(|peer| (peer.id(), peer.terms())).collect();
        Lending {
            reserve: self.reserve,
            terms,
        }
    }

    /// Returns true if the federation has any work: lending or borrowing.
    pub fn is_used(&self) -> bool {
        self.listen.is_some() || !self.peers.is_empty()
    }
}

impl PeerSettings {
    /// The mistake in this peer's settings, if any.
    fn problem(&self) -> Option<String> {
        let named = |problem: &str| Some(format!("{:?}: {problem}", self.name));
        if !is_dns_name(&self.name) && !is_uri(&self.name) {
            return named("its name must be a DNS name or a URI, as in its certificate");
        }
        if self.url.as_deref().is_some_and(|url| !is_url(url)) {
            return named("its url must be https://HOST:PORT");
        }
        if !IN_FLIGHT.contains(&self.max_in_flight) {
            let (least, most) = (IN_FLIGHT.start(), IN_FLIGHT.end());
            return named(&format!(
                "its max_in_flight must be between {least} and {most}"
            ));
        }
        if self.max_per_second.get() > PER_SECOND_MAX {
            return named(&format!(
                "its max_per_second must be between 1 and {PER_SECOND_MAX}"
            ));
        }
        None
    }

    /// The peer's name in metrics.
    pub fn id(&self) -> PeerName {
        PeerName::from(&*self.name)
    }

    /// Returns true if the peer is borrowed from wherever DNS finds it.
    pub(super) fn is_discovered(&self) -> bool {
        self.borrow && self.url.is_none()
    }

    /// The peer's configured address for borrowing (`HOST:PORT`).
    pub(super) fn addr(&self) -> Option<&str> {
        let url = self.url.as_deref().filter(|_| self.borrow)?;
        let addr = url.strip_prefix("https://")?;
        Some(addr.strip_suffix('/').unwrap_or(addr))
    }

    /// The terms on which we borrow from the peer.
    pub(super) fn borrowing_terms(&self) -> BorrowingTerms {
        BorrowingTerms {
            borrows: self.borrow,
            max_in_flight: self.max_in_flight,
            private_pools: SharedPools::These(self.shared_pools()),
        }
    }

    fn shared_pools(&self) -> BTreeSet<PrivatePoolName> {
        let names = self.private_pools.iter();
        names.map(|name| name.as_str().into()).collect()
    }

    fn terms(&self) -> Terms {
        Terms {
            lends: self.lend,
            max_in_flight: self.max_in_flight,
            max_per_second: self.max_per_second,
            private_pools: Arc::new(self.shared_pools()),
        }
    }
}

fn is_name_with_port(text: &str) -> bool {
    let host = text.rsplit_once(':').map(|(host, _)| host);
    is_address(text) && host.is_some_and(is_dns_name)
}

/// Returns true if the text is a URI such as `spiffe://brokers.example/b`. It appears in
/// logs and metric labels, so it must not contain characters that need escaping.
fn is_uri(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\,{}".contains(c);
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    is_scheme && text.len() <= 255 && text.chars().all(is_plain)
}

fn is_url(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else {
        return false;
    };
    let has_port = url.port_u16().is_some();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    url.scheme_str() == Some("https") && has_port && url.path() == "/" && is_address(authority)
}

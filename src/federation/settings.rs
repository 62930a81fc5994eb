//! Settings of other brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::broker::loan::{Lending, Terms};
use crate::host_port::{self, is_address, is_dns_name};
use crate::metrics::labels::PeerName;
use crate::report::{COUNT_MAX, SettingsReport};

/// The most peers: more brokers do not know each other.
const PEERS_MAX: usize = 1_000;
/// The bounds of [`PeerSettings::max_in_flight`]: as many calls as go over one connection.
const IN_FLIGHT: RangeInclusive<usize> = 1..=1_000;
/// The largest [`PeerSettings::max_per_second`].
const PER_SECOND_MAX: u32 = 1_000_000;

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
    /// The number of proxies of each pool that are not lent.
    pub reserve: usize,
    /// Our certificate, and who vouches for the others'.
    pub tls: PeerTlsSettings,
    /// The other brokers.
    pub peers: Vec<PeerSettings>,
}

/// Our certificate, for both directions, and who vouches for the others'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerTlsSettings {
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
    /// Its address, `https://HOST:PORT`. Without it, it is asked if
    /// [`Settings::discover`] finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// It gets proxies of ours.
    #[serde(default = "yes")]
    pub lend: bool,
    /// It is asked for proxies of its.
    #[serde(default = "yes")]
    pub borrow: bool,
    /// The most offers that may wait for an answer, in either direction.
    #[serde(default = "default_in_flight")]
    pub max_in_flight: usize,
    /// The most offers that it may send a second, in the long run; as many may come at
    /// once.
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
            tls: PeerTlsSettings::default(),
            peers: Vec::new(),
        }
    }
}

impl Settings {
    /// Reports what is wrong, or without effect.
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
            let problem = "expected HOST:PORT, such as brokers.example:7443";
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
        let needs = format!("needs {} beside it", missing.join(", "));
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
            report.refuse(&["peers"], format!("there are more than {PEERS_MAX}"));
        }
        report.refuse_if("peers", self.peers.iter().find_map(PeerSettings::problem));
        let mut names = BTreeSet::new();
        let twice = self.peers.iter().find(|peer| !names.insert(&peer.name));
        let problem = twice.map(|twice| format!("two of them have the name {:?}", twice.name));
        report.refuse_if("peers", problem);
        if self.listen.is_some() && self.peers.is_empty() {
            let problem = "nobody may come: federation.peers is empty";
            report.warn(&["listen", "peers"], problem);
        }
        let lost = self.peers.iter().find(|peer| peer.is_discovered());
        if let (None, Some(lost)) = (&self.discover, lost) {
            let problem = format!(
                "{:?} is never asked: give it a url, set federation.discover, or set borrow = \
                 false",
                lost.name
            );
            report.warn(&["peers", "discover"], problem);
        }
    }

    /// The terms on which proxies are lent, for each peer.
    pub fn lending(&self) -> Lending {
        let peers = self.peers.iter();
        let terms: BTreeMap<_, _> = peers.map(|peer| (peer.id(), peer.terms())).collect();
        Lending {
            reserve: self.reserve,
            terms,
        }
    }

    /// Returns true if there is anything to do: somebody may come, or is asked.
    pub fn is_used(&self) -> bool {
        self.listen.is_some() || !self.peers.is_empty()
    }
}

impl PeerSettings {
    /// The fault of this peer by itself.
    fn problem(&self) -> Option<String> {
        let named = |problem: &str| Some(format!("{:?}: {problem}", self.name));
        if !is_dns_name(&self.name) && !is_uri(&self.name) {
            return named("its name is neither a DNS name nor a URI, as in a certificate");
        }
        if self.url.as_deref().is_some_and(|url| !is_url(url)) {
            return named("its url is not https://HOST:PORT");
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

    /// Its name, as it is counted by.
    pub fn id(&self) -> PeerName {
        PeerName::from(&*self.name)
    }

    /// Returns true if it is asked wherever DNS finds it.
    pub(super) fn is_discovered(&self) -> bool {
        self.borrow && self.url.is_none()
    }

    /// The address at which it is asked (`HOST:PORT`), if the settings say.
    pub(super) fn addr(&self) -> Option<&str> {
        let url = self.url.as_deref().filter(|_| self.borrow)?;
        let addr = url.strip_prefix("https://")?;
        Some(addr.strip_suffix('/').unwrap_or(addr))
    }

    fn terms(&self) -> Terms {
        Terms {
            lends: self.lend,
            max_in_flight: self.max_in_flight,
            max_per_second: self.max_per_second,
        }
    }
}

fn is_name_with_port(text: &str) -> bool {
    let host = text.rsplit_once(':').map(|(host, _)| host);
    is_address(text) && host.is_some_and(is_dns_name)
}

/// Returns true if the text is a URI such as `spiffe://brokers.example/b`. It is shown in logs and as a label of
/// metrics, so nothing in it needs to be escaped.
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

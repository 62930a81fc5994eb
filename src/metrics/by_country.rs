//! Country lookup for proxies and clients. While the country databases are being read
//! after a start, visitors are held in memory, up to a limit, and counted once the
//! databases are there.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::counters::ClientPollEnd;
use crate::geoip::{CountryCode, GeoIp};
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// Maximum number of held visitors, which take 2 MB. Later ones count as country `??`.
const VISITORS_MAX: usize = 1 << 16;

/// The country databases, and the visitors to be counted once these are loaded.
#[derive(Debug, Default)]
pub(super) struct CountryLookup {
    known: Arc<GeoIp>,
    /// `None` unless databases are being awaited.
    visitors: Option<Vec<Visitor>>,
}

/// A proxy or client whose country is to be counted once.
#[derive(Clone, Copy)]
pub(super) enum Visitor {
    Proxy(IpAddr, ProxyType, NatType),
    /// A client's poll that has ended.
    Client(IpAddr, ClientPollEnd),
}

impl CountryLookup {
    /// Starts holding visitors.
    pub(super) fn wait(&mut self) {
        self.visitors.get_or_insert_default();
    }

    /// Stops holding visitors, and returns the ones held.
    pub(super) fn stop_waiting(&mut self) -> Vec<Visitor> {
        self.visitors.take().unwrap_or_default()
    }

    /// Uses this database from now on. Returns false if it was already in use.
    pub(super) fn learn(&mut self, geoip: Arc<GeoIp>) -> bool {
        let is_new = !Arc::ptr_eq(&self.known, &geoip);
        self.known = geoip;
        is_new
    }

    /// Holds a visitor, or returns it if it is to be counted now.
    pub(super) fn hold(&mut self, visitor: Visitor) -> Option<Visitor> {
        match &mut self.visitors {
            Some(visitors) if visitors.len() < VISITORS_MAX => visitors.push(visitor),
            _ => return Some(visitor),
        }
        None
    }

    pub(super) fn lookup(&self, address: IpAddr) -> CountryCode {
        self.known.lookup(address)
    }
}

/// Omits the address.
impl fmt::Debug for Visitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Proxy(..) => "Proxy(..)",
            Self::Client(..) => "Client(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::time::SystemTime;

    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::counters::UniqueProxy;
    use crate::metrics::distinct_ips::{UniqueIps, WindowKey};
    use crate::metrics::labels::Rendezvous;
    use crate::wire::proxy::{ProxyPoll, ProxyTypes};

    fn metrics() -> Metrics {
        Metrics::new(SystemTime::UNIX_EPOCH, WindowKey::from([1; 16]))
    }

    /// A database in which 5.1.0.0/16 is in France.
    fn france() -> Arc<GeoIp> {
        let mut geoip = GeoIp::default();
        geoip.load_ipv4(b"83951616,84017151,FR\n").unwrap();
        Arc::new(geoip)
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(83_951_616 + number).into()
    }

    fn proxy(metrics: &Metrics, number: u32, nat: NatType) {
        let poll =
            ProxyPoll::decode(br#"{"Sid":"a","Version":"1.3"}"#, &ProxyTypes::default()).unwrap();
        metrics.proxy_seen(address(number), &ProxyPoll { nat, ..poll });
    }

    fn client(metrics: &Metrics, number: u32) {
        let address = Some(address(number));
        let record = metrics.begin_client_poll(Rendezvous::Http, address, NatType::Open);
        record.denied();
    }

    fn ips(metrics: &Metrics) -> UniqueIps {
        metrics.block(SystemTime::UNIX_EPOCH).ips
    }

    fn proxies(metrics: &Metrics) -> BTreeMap<String, u64> {
        let by_country = ips(metrics).by_country.into_iter();
        by_country
            .map(|(code, count)| (code.to_string(), count))
            .collect()
    }

    fn clients(metrics: &Metrics) -> BTreeMap<String, u64> {
        let counts = metrics.block(SystemTime::UNIX_EPOCH).counts;
        let polls = counts.client_polls.into_values().flatten();
        polls
            .map(|(code, count)| (code.to_string(), count))
            .collect()
    }

    fn only(code: &str, count: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([(code.to_owned(), count)])
    }

    #[test]
    fn who_comes_before_the_databases_counts_when_they_are_there() {
        let metrics = metrics();
        metrics.await_countries();
        proxy(&metrics, 1, NatType::Unknown);
        proxy(&metrics, 1, NatType::Open);
        proxy(&metrics, 2, NatType::Open);
        client(&metrics, 1);
        assert_eq!(ips(&metrics).total, 0);
        metrics.know_countries(france());
        assert_eq!(proxies(&metrics), only("FR", 2));
        assert_eq!(clients(&metrics), only("FR", 1));
        // The proxy is counted with the NAT of its first poll.
        let counted = |nat| {
            let proxy = UniqueProxy {
                r#type: ProxyType::UNKNOWN,
                nat,
                country: "FR".parse().unwrap(),
            };
            let proxies = &metrics.counting.lock().counters.unique_proxies;
            let mut counts = proxies.iter().filter(|(other, _)| **other == proxy);
            counts.next().map(|(_, count)| count)
        };
        assert_eq!(counted(NatType::Unknown), Some(1));
        assert_eq!(counted(NatType::Open), Some(1));
        // Later visitors are counted at once.
        client(&metrics, 1);
        assert_eq!(clients(&metrics), only("FR", 2));
    }

    #[test]
    fn who_is_awaited_in_vain_is_nowhere() {
        let metrics = metrics();
        metrics.await_countries();
        proxy(&metrics, 1, NatType::Open);
        client(&metrics, 1);
        metrics.stop_awaiting_countries();
        proxy(&metrics, 2, NatType::Open);
        assert_eq!(proxies(&metrics), only("??", 2));
        assert_eq!(clients(&metrics), only("??", 1));
        // Databases that arrive late are still used.
        metrics.know_countries(france());
        client(&metrics, 1);
        assert_eq!(clients(&metrics).get("FR"), Some(&1));
    }

    /// For example, bridges may be replaced while databases are awaited.
    #[test]
    fn what_was_known_already_ends_no_wait() {
        let (metrics, nothing) = (metrics(), Arc::<GeoIp>::default());
        metrics.know_countries(Arc::clone(&nothing));
        metrics.await_countries();
        client(&metrics, 1);
        metrics.know_countries(nothing);
        metrics.know_countries(france());
        assert_eq!(clients(&metrics), only("FR", 1));
    }

    #[test]
    fn only_so_many_are_kept() {
        let metrics = metrics();
        metrics.await_countries();
        let kept = u32::try_from(VISITORS_MAX).unwrap();
        for number in 0..kept + 3 {
            client(&metrics, number);
        }
        assert_eq!(clients(&metrics), only("??", 3));
        metrics.know_countries(france());
        let expected = BTreeMap::from([("??".to_owned(), 3), ("FR".to_owned(), kept.into())]);
        assert_eq!(clients(&metrics), expected);
    }

    #[test]
    fn nobody_is_kept_who_is_not_awaited() {
        let metrics = metrics();
        client(&metrics, 1);
        assert_eq!(clients(&metrics), only("??", 1));
    }

    #[test]
    fn debug_shows_no_address() {
        let metrics = metrics();
        metrics.await_countries();
        proxy(&metrics, 1, NatType::Open);
        client(&metrics, 1);
        let text = format!("{metrics:?}");
        assert!(text.contains("Proxy(..), Client(..)"), "{text}");
        assert!(!text.contains("5.1.0.1"), "{text}");
    }
}

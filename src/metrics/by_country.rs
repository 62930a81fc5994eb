//! Counts by country: of the addresses of proxies, and of the polls of clients. As
//! long as the country databases are being read after a start, who comes is kept in
//! memory, and counted when they are there: for a moment, and only so many.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::families::{Families, PublishedClientPoll, UniqueProxy};
use super::labels::{PublishedClient, Rendezvous};
use super::{Metrics, Window};
use crate::geoip::{CountryCode, GeoIp};
use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyPoll, ProxyType};

/// The most that are kept, in 2 MB; further ones count as from an unknown country.
const KEPT_MAX: usize = 1 << 16;

/// The countries of addresses, and those who wait to be counted until they are known.
#[derive(Debug, Default)]
pub(super) struct Countries {
    known: Arc<GeoIp>,
    /// `None` unless the databases are awaited.
    kept: Option<Vec<Seen>>,
}

/// Somebody to be counted once.
#[derive(Clone, Copy)]
enum Seen {
    Proxy(IpAddr, ProxyType, NatType),
    /// A client's poll that has ended.
    Client(IpAddr, ClientPoll),
}

/// A client's poll as it is published, but for the country.
#[derive(Clone, Copy)]
pub(super) struct ClientPoll {
    pub(super) rendezvous: Rendezvous,
    pub(super) nat: NatType,
    pub(super) status: PublishedClient,
}

impl Metrics {
    /// Keeps those who come from now on until [`Self::know_countries`], or
    /// [`Self::stop_awaiting_countries`].
    pub fn await_countries(&self) {
        self.window().countries.kept.get_or_insert_default();
    }

    /// This is known of countries from now on, and of those who are kept, unless it is
    /// what was known already.
    pub fn know_countries(&self, geoip: Arc<GeoIp>) {
        let mut window = self.window();
        if Arc::ptr_eq(&window.countries.known, &geoip) {
            return;
        }
        let databases = i64::from(geoip.has_ipv4()) + i64::from(geoip.has_ipv6());
        self.families.country_databases.set(databases);
        window.countries.known = geoip;
        window.count_kept(&self.families);
    }

    /// Counts those who are kept by what is known of countries now, and whoever comes
    /// from now on at once.
    pub fn stop_awaiting_countries(&self) {
        self.window().count_kept(&self.families);
    }

    /// A proxy that may serve polls from this address.
    pub fn proxy_seen(&self, address: IpAddr, poll: &ProxyPoll) {
        let (r#type, nat) = (poll.proxy_type, poll.nat);
        let mut window = self.window();
        if let Some(recorder) = &mut window.recorder {
            recorder.record(address, r#type, nat);
        }
        window.count(&self.families, Seen::Proxy(address, r#type, nat));
    }

    /// A client's poll has ended in one of the ways that are published.
    pub(super) fn client_ended(&self, address: Option<IpAddr>, poll: ClientPoll) {
        let mut window = self.window();
        match address {
            Some(address) => window.count(&self.families, Seen::Client(address, poll)),
            None => window.count_client(&self.families, CountryCode::UNKNOWN, poll),
        }
    }
}

impl Window {
    /// Counts somebody, or keeps them to be counted.
    fn count(&mut self, families: &Families, seen: Seen) {
        match &mut self.countries.kept {
            Some(kept) if kept.len() < KEPT_MAX => kept.push(seen),
            _ => self.count_now(families, seen),
        }
    }

    fn count_kept(&mut self, families: &Families) {
        for seen in self.countries.kept.take().unwrap_or_default() {
            self.count_now(families, seen);
        }
    }

    fn count_now(&mut self, families: &Families, seen: Seen) {
        match seen {
            Seen::Proxy(address, r#type, nat) => self.count_proxy(families, address, r#type, nat),
            Seen::Client(address, poll) => {
                let country = self.countries.known.lookup(address);
                self.count_client(families, country, poll);
            }
        }
    }

    fn count_proxy(
        &mut self,
        families: &Families,
        address: IpAddr,
        r#type: ProxyType,
        nat: NatType,
    ) {
        let cc = self.countries.known.lookup(address);
        if self.ips.record(address, cc, r#type, nat) {
            let labels = UniqueProxy { r#type, nat, cc };
            families.unique_proxies.get_or_create(&labels).inc();
        }
    }

    fn count_client(&mut self, families: &Families, cc: CountryCode, poll: ClientPoll) {
        let ClientPoll {
            rendezvous,
            nat,
            status,
        } = poll;
        self.counts.record_client_poll(rendezvous, cc);
        match status {
            PublishedClient::Matched => self.counts.matched += 1,
            PublishedClient::Denied => self.counts.record_denied(nat),
            PublishedClient::Timeout => self.counts.timed_out += 1,
        }
        let labels = PublishedClientPoll {
            nat,
            status,
            cc,
            rendezvous_method: rendezvous,
        };
        families.published_clients.get_or_create(&labels).inc();
    }
}

/// Without the address.
impl fmt::Debug for Seen {
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
    use crate::metrics::distinct_ips::{UniqueIps, WindowKey};

    fn metrics() -> Metrics {
        Metrics::new(SystemTime::UNIX_EPOCH, WindowKey::from([1; 16]))
    }

    /// 5.1.0.0/16 is in France.
    fn france() -> Arc<GeoIp> {
        let mut geoip = GeoIp::default();
        geoip.load_ipv4(b"83951616,84017151,FR\n").unwrap();
        Arc::new(geoip)
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(83_951_616 + number).into()
    }

    fn proxy(metrics: &Metrics, number: u32, nat: NatType) {
        let poll = ProxyPoll::decode(br#"{"Sid":"a","Version":"1.3"}"#).unwrap();
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
        // With the NAT of the first poll.
        let labels = |nat| UniqueProxy {
            r#type: ProxyType::Unknown,
            nat,
            cc: "FR".parse().unwrap(),
        };
        let counted = |nat| {
            let proxies = &metrics.families.unique_proxies;
            proxies.get(&labels(nat)).map(|count| count.get())
        };
        assert_eq!(counted(NatType::Unknown), Some(1));
        assert_eq!(counted(NatType::Open), Some(1));
        // And from then on at once.
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
        // Late is better than never.
        metrics.know_countries(france());
        client(&metrics, 1);
        assert_eq!(clients(&metrics).get("FR"), Some(&1));
    }

    /// As when bridges are replaced meanwhile.
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
        let kept = u32::try_from(KEPT_MAX).unwrap();
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

//! The impact log: a line of JSON for each window, with counts rounded up to multiples of 8
//! and without anything that is about few addresses.

use serde::{Serialize, Serializer};

use super::distribution::Distribution;
use super::impact::{GroupResults, Impact, MatchGroup, OutcomeCounts};
use super::labels::{EpisodeResult, MatchOutcome};
use super::published_log::whole_lines;
use super::rounded::Rounded;
use super::timestamp;

/// Incremented when the format changes in a way that readers have to know.
const VERSION: u32 = 1;
/// The beginning of a line.
const BEGINNING: &[u8] = b"{\"version\":";

/// Returns true if this end of a file may be that of an impact log: its last line begins as
/// one, or there is none.
pub fn is_impact_log(text: &[u8]) -> bool {
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let last = lines.rsplit(|byte| *byte == b'\n').next();
    let last = last.unwrap_or_default();
    last.starts_with(BEGINNING) || BEGINNING.starts_with(last)
}

/// Returns true if the log contains exactly this line.
pub fn has_line(log: &[u8], line: &str) -> bool {
    let line = line.trim_end().as_bytes();
    let mut lines = whole_lines(log).split(|byte| *byte == b'\n');
    lines.any(|written| written == line)
}

impl Impact {
    /// The line as it is appended to the log, with a line end.
    pub fn encode(&self) -> String {
        let is_shown = |group: MatchGroup| {
            let mut groups = self.groups.iter();
            groups.any(|results| results.group == group && results.is_crowd)
        };
        let line = ImpactLine {
            version: VERSION,
            start: timestamp::text(self.start),
            end: timestamp::text(self.end),
            figures: is_shown(MatchGroup::All).then(|| Figures::of(self)),
        };
        // Maps with text keys can always be written as JSON.
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    }
}

#[derive(Serialize)]
struct ImpactLine {
    version: u32,
    start: String,
    end: String,
    #[serde(flatten)]
    figures: Option<Figures>,
}

#[derive(Serialize)]
struct Figures {
    most_clients: u64,
    episodes: Episodes,
    tries: Entries<u64>,
    seconds: Entries<u64>,
    by_nat: Vec<PairRow>,
    by_rendezvous: Entries<Results>,
    by_type: Entries<Results>,
    by_country: Entries<Results>,
}

#[derive(Serialize)]
struct Episodes {
    served: u64,
    unserved: u64,
    unknown: u64,
}

#[derive(Serialize)]
struct PairRow {
    client: &'static str,
    proxy: &'static str,
    #[serde(flatten)]
    results: Results,
}

#[derive(Serialize)]
struct Results {
    worked: u64,
    failed: u64,
    unknown: u64,
    unanswered: u64,
}

/// The entries of an object, in their order.
struct Entries<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Figures {
    fn of(impact: &Impact) -> Self {
        let episodes = |result| rounded(impact.episodes.with_result(result));
        let shown = impact.groups.iter().filter(|results| results.is_crowd);
        let named = |name: fn(&GroupResults) -> Option<String>| {
            let named = shown.clone();
            let named = named.filter_map(|results| Some((name(results)?, results.counts.into())));
            Entries(named.collect())
        };
        Self {
            most_clients: rounded(impact.most_clients),
            episodes: Episodes {
                served: episodes(EpisodeResult::Served),
                unserved: episodes(EpisodeResult::Unserved),
                unknown: episodes(EpisodeResult::Unknown),
            },
            tries: buckets(impact.episodes.tries()),
            seconds: buckets(impact.episodes.seconds()),
            by_nat: shown.clone().filter_map(pair).collect(),
            by_rendezvous: named(|results| match results.group {
                MatchGroup::Rendezvous(way) => Some(way.to_string()),
                _ => None,
            }),
            by_type: named(|results| match results.group {
                MatchGroup::ProxyType(proxy_type) => Some(proxy_type.to_string()),
                _ => None,
            }),
            by_country: named(|results| match results.group {
                MatchGroup::Country(country) => Some(country.to_string()),
                _ => None,
            }),
        }
    }
}

fn pair(results: &GroupResults) -> Option<PairRow> {
    match results.group {
        MatchGroup::NatPair(client, proxy) => Some(PairRow {
            client: client.as_str(),
            proxy: proxy.as_str(),
            results: results.counts.into(),
        }),
        _ => None,
    }
}

impl From<OutcomeCounts> for Results {
    fn from(counts: OutcomeCounts) -> Self {
        let count = |outcome| rounded(counts.of(outcome));
        Self {
            worked: count(MatchOutcome::Worked),
            failed: count(MatchOutcome::Failed),
            unknown: count(MatchOutcome::Unknown),
            unanswered: count(MatchOutcome::Unanswered),
        }
    }
}

/// The count of each bucket, by its upper bound; the last one is `more`.
fn buckets<const N: usize>(distribution: &Distribution<N>) -> Entries<u64> {
    let name = |bound: f64| {
        if bound.is_finite() {
            bound.to_string()
        } else {
            "more".to_owned()
        }
    };
    let buckets = distribution.buckets();
    Entries(
        buckets
            .map(|(bound, count)| (name(bound), rounded(count)))
            .collect(),
    )
}

fn rounded(count: u64) -> u64 {
    Rounded::from(count).get()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::geoip::CountryCode;
    use crate::metrics::distinct_ips::WindowKey;
    use crate::metrics::labels::Rendezvous;
    use crate::metrics::{EpisodeCounts, HourlyHash, MatchEnd, Metrics};
    use crate::wire::nat::NatClass;
    use crate::wire::proxy::ProxyType;

    fn metrics() -> Metrics {
        Metrics::new(SystemTime::UNIX_EPOCH, WindowKey::from([1; 16]))
    }

    /// A match that worked, of a client with an address of this number.
    fn count(metrics: &Metrics, country: &str, address: u64, proxy: Option<ProxyType>) {
        metrics.match_ended(MatchEnd {
            outcome: MatchOutcome::Worked,
            client: NatClass::Strict,
            country: country.parse().unwrap(),
            address: Some(HourlyHash {
                hour: 1,
                hash: address,
            }),
            proxy: proxy.map(|proxy_type| (proxy_type, NatClass::Open)),
            rendezvous: Rendezvous::Http,
        });
    }

    fn line(metrics: &Metrics) -> String {
        let end = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        metrics.impact(end).encode()
    }

    #[test]
    fn figures_are_rounded_and_about_many() {
        let metrics = metrics();
        for address in 0..8 {
            count(&metrics, "RU", address, Some(ProxyType::WEBEXT));
        }
        // Many matches of few, and a country of few.
        for number in 0..100 {
            count(&metrics, "IR", number % 7, Some(ProxyType::BADGE));
        }
        count(&metrics, "CN", 50, None);
        let mut episodes = EpisodeCounts::default();
        episodes.begin();
        episodes.decide(EpisodeResult::Served);
        for _ in 0..9 {
            episodes.serve(2, Duration::from_secs(700));
        }
        metrics.count_episodes(&episodes, 17);
        let expected = concat!(
            r#"{"version":1,"start":"1970-01-01T00:00:00Z","end":"1970-01-02T00:00:00Z","#,
            r#""most_clients":24,"episodes":{"served":8,"unserved":0,"unknown":0},"#,
            r#""tries":{"1":0,"2":16,"3":0,"5":0,"8":0,"13":0,"more":0},"#,
            r#""seconds":{"1":0,"2":0,"3":0,"5":0,"10":0,"20":0,"30":0,"60":0,"120":0,"300":0,"600":0,"more":16},"#,
            r#""by_nat":[{"client":"strict","proxy":"open","worked":112,"failed":0,"unknown":0,"unanswered":0}],"#,
            r#""by_rendezvous":{"http":{"worked":112,"failed":0,"unknown":0,"unanswered":0}},"#,
            r#""by_type":{"webext":{"worked":8,"failed":0,"unknown":0,"unanswered":0}},"#,
            r#""by_country":{"RU":{"worked":8,"failed":0,"unknown":0,"unanswered":0}}}"#,
            "\n"
        );
        assert_eq!(line(&metrics), expected);
        let log = format!("{expected}{expected}");
        assert!(has_line(log.as_bytes(), expected));
        assert!(!has_line(&log.as_bytes()[1..expected.len()], expected));
    }

    #[test]
    fn of_few_addresses_nothing_is_told() {
        let metrics = metrics();
        for address in 0..7 {
            count(&metrics, "RU", address, None);
        }
        let nothing =
            "{\"version\":1,\"start\":\"1970-01-01T00:00:00Z\",\"end\":\"1970-01-02T00:00:00Z\"}\n";
        assert_eq!(line(&metrics), nothing);
    }

    #[test]
    fn each_window_begins_at_0() {
        let metrics = metrics();
        for address in 0..8 {
            count(&metrics, "RU", address, None);
        }
        let shown = |metrics: &Metrics| {
            let groups = metrics.impact(SystemTime::UNIX_EPOCH).groups;
            let of = |results: &&GroupResults| {
                results.group == MatchGroup::Country("RU".parse::<CountryCode>().unwrap())
            };
            let results = groups.iter().find(of).copied().unwrap();
            (results.counts.of(MatchOutcome::Worked), results.is_crowd)
        };
        assert_eq!(shown(&metrics), (8, true));
        let key = WindowKey::from([2; 16]);
        let ended = metrics.end_window(SystemTime::UNIX_EPOCH, key);
        assert!(ended.impact.encode().contains("\"RU\""));
        assert_eq!(shown(&metrics), (0, false));
        count(&metrics, "RU", 1, None);
        assert_eq!(shown(&metrics), (1, false));
    }

    #[test]
    fn other_files_are_told_from_an_impact_log() {
        let line = line(&metrics());
        let cut = format!("{line}{}", &line[..20]);
        for is_one in ["", "\n", "{\"ver", &line, &cut, &cut[5..]] {
            assert!(is_impact_log(is_one.as_bytes()), "{is_one:?}");
        }
        for is_none in ["text\n", "{\"a\":1}\n", "snowflake-stats-end 1\n"] {
            assert!(!is_impact_log(is_none.as_bytes()), "{is_none:?}");
        }
    }
}

//! The exact counters as Prometheus families, each series of which is a sum of counts.
//! All series known in advance are present at 0, so that rates are correct from the first
//! event on. Countries are not known in advance, so only `??` is present.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::counters::{ArrivalPattern, Counters, Counts, LatenciesByClient, ProxyArrival};
use super::counting::SharedCounting;
use super::distribution::{Distribution, as_f64};
use super::episodes::EpisodeCounts;
use super::families::ProxyLabels;
use super::impact::{ImpactCounts, MatchGroup, OutcomeCounts};
use super::labels::{AnswerFate, EpisodeResult, MatchOutcome, Refusal, Request};
use super::published;
use super::rounded::Rounded;

/// Upper bounds of the number of proxies that a client's offer was handed to; one more
/// bucket holds larger numbers.
const ATTEMPTS: [u32; 4] = [1, 2, 3, 5];

/// The families of the reference broker, rounded if their name says so. They are public.
///
/// `snowflake_proxy_total` is exact, as in the reference broker. It counts proxies, not
/// clients: each address once a window of the metrics log, with the type and NAT of its
/// first poll.
#[derive(Debug)]
pub(super) struct PublishedFamilies {
    pub(super) counting: SharedCounting,
    /// A gauge, not a counter; it is shown among the published families.
    pub(super) available_proxies: Family<ProxyLabels, Gauge>,
}

/// The operator's families, which are exact, except for the one by country.
#[derive(Debug)]
pub(super) struct OperatorFamilies(pub(super) SharedCounting);

impl Collector for PublishedFamilies {
    #[rustfmt::skip]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &self.counting.lock().counters.clone();
        let (polls, clients) = (&counters.proxy_polls, &counters.client_polls);
        let mut page = FamilyWriter(encoder);
        page.counters("snowflake_proxy", "Unique IP addresses of proxies, each counted once a day, with the type and NAT of its first poll", &counters.unique_proxies.sums(|proxy| Some([("type", proxy.r#type.as_str()), ("nat", proxy.nat.as_str()), ("cc", proxy.country.as_str())])))?;
        page.gauges("snowflake_available_proxies", "Proxies waiting for a client", &self.available_proxies)?;
        page.rounded("snowflake_rounded_proxy_poll", "Proxy polls, rounded up to a multiple of 8", polls.sums(|end| Some([("nat", end.nat.as_str()), ("type", end.r#type.as_str()), ("status", published::proxy_poll(end.outcome)?)])))?;
        page.rounded("snowflake_rounded_proxy_poll_with_relay_url_extension", "Proxy polls with a relay pattern, rounded up to a multiple of 8", arrivals(counters, ArrivalPattern::With))?;
        page.rounded("snowflake_rounded_proxy_poll_without_relay_url_extension", "Proxy polls without a relay pattern, rounded up to a multiple of 8", arrivals(counters, ArrivalPattern::Without))?;
        page.rounded("snowflake_rounded_proxy_poll_rejected_relay_url_extension", "Proxy polls rejected because of their relay pattern, rounded up to a multiple of 8", polls.sums(|end| (end.refusal == Some(Refusal::Pattern)).then_some([("nat", end.nat.as_str()), ("type", end.r#type.as_str())])))?;
        page.rounded("snowflake_rounded_client_poll", "Client polls, rounded up to a multiple of 8", clients.sums(|end| Some([("nat", end.nat.as_str()), ("status", published::client_poll(end.outcome)?), ("cc", end.country.as_ref()?.as_str()), ("rendezvous_method", end.rendezvous.as_str())])))?;
        page.rounded("snowflake_rounded_proxy_answer", "Proxy answers, rounded up to a multiple of 8", counters.answers.sums(|end| Some([("type", end.r#type.as_str()), ("status", published::proxy_answer(end.outcome)?)])))
    }
}

impl Collector for OperatorFamilies {
    #[rustfmt::skip]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &self.0.lock().counters.clone();
        let (polls, clients, answers) = (&counters.proxy_polls, &counters.client_polls, &counters.answers);
        let second = |fate| matches!(fate, AnswerFate::Beaten | AnswerFate::Repeated);
        let mut page = FamilyWriter(encoder);
        page.counter("snowflake_broker_proxy_polls_received", "Proxy polls received; snowflake_broker_proxy_polls_total has their outcomes", counters.proxy_arrivals.sum(|_| true))?;
        page.counters("snowflake_broker_proxy_polls", "Proxy polls by outcome", &polls.sums(|end| Some([("type", end.r#type.as_str()), ("nat", end.nat.as_str()), ("outcome", end.outcome.as_str())])))?;
        page.counters("snowflake_broker_client_polls_received", "Client polls received; snowflake_broker_client_polls_total has their outcomes", &counters.client_arrivals.sums(|way| Some([("rendezvous", way.as_str())])))?;
        page.counters("snowflake_broker_client_polls", "Client polls by outcome", &clients.sums(|end| Some([("rendezvous", end.rendezvous.as_str()), ("nat", end.nat.as_str()), ("outcome", end.outcome.as_str())])))?;
        page.counters("snowflake_broker_proxy_answers", "Proxy answers by outcome", &answers.sums(|end| Some([("type", end.r#type.as_str()), ("outcome", end.outcome.as_str())])))?;
        page.counter("snowflake_broker_second_answers", "Proxy answers for a client that already had one", answers.sum(|end| second(end.outcome)))?;
        let by_reason = |request: Request| move |reason: Refusal| [("request", request.as_str()), ("reason", reason.as_str())];
        let mut refusals = polls.sums(|end| end.refusal.map(by_reason(Request::ProxyPoll)));
        refusals.extend(clients.sums(|end| end.refusal.map(by_reason(Request::ClientPoll))));
        refusals.extend(answers.sums(|end| end.refusal.map(by_reason(Request::ProxyAnswer))));
        page.counters("snowflake_broker_refusals", "Refused requests, by reason", &refusals)?;
        page.attempts("snowflake_broker_attempts_per_answer", "Proxies that a client's offer was handed to before the client got its answer", &counters.attempts)?;
        page.latencies("snowflake_broker_hand_off_to_answer_seconds", "Time from the hand-off of an offer until that proxy's answer", &counters.hand_off_to_answer)?;
        page.latencies("snowflake_broker_request_to_answer_seconds", "Time from the arrival of a client's request until its answer", &counters.request_to_answer)?;
        page.matches(&counters.impact)?;
        page.episodes(counters.impact.all_episodes())
    }
}

/// Counts by group and outcome; `labels` returns `None` for groups of another kind.
fn by_outcome<'a, const N: usize>(
    results: &'a [(MatchGroup, OutcomeCounts)],
    labels: impl Fn(&'a MatchGroup, &'static str) -> Option<SeriesLabels<'a, N>>,
) -> BTreeMap<SeriesLabels<'a, N>, u64> {
    let labels = &labels;
    let series = results.iter().flat_map(|(group, counts)| {
        MatchOutcome::ALL
            .into_iter()
            .filter_map(move |outcome| Some((labels(group, outcome.as_str())?, counts.of(outcome))))
    });
    series.collect()
}

/// The names and values of a series' labels.
type SeriesLabels<'a, const N: usize> = [(&'a str, &'a str); N];

fn arrivals(counters: &Counters, pattern: ArrivalPattern) -> BTreeMap<SeriesLabels<'_, 2>, u64> {
    let labels = |poll: &ProxyArrival| [("nat", poll.nat.as_str()), ("type", poll.r#type.as_str())];
    let polls = &counters.proxy_arrivals;
    polls.sums(|poll| (poll.pattern == pattern).then(|| labels(poll)))
}

/// Writes the families one after the other.
struct FamilyWriter<'a>(DescriptorEncoder<'a>);

impl FamilyWriter<'_> {
    #[rustfmt::skip]
    fn matches(&mut self, impact: &ImpactCounts) -> fmt::Result {
        let results: Vec<_> = impact.results().collect();
        self.counters("snowflake_broker_match_outcomes", "Matches with a proxy here, by the NAT classes of client and proxy and the outcome", &by_outcome(&results, |group, outcome| match group {
            MatchGroup::NatPair(client, proxy) => Some([("client", client.as_str()), ("proxy", proxy.as_str()), ("outcome", outcome)]),
            _ => None,
        }))?;
        self.counters("snowflake_broker_match_outcomes_by_type", "Matches with a proxy here, by the type of the proxy and the outcome", &by_outcome(&results, |group, outcome| match group {
            MatchGroup::ProxyType(proxy_type) => Some([("type", proxy_type.as_str()), ("outcome", outcome)]),
            _ => None,
        }))?;
        self.counters("snowflake_broker_match_outcomes_by_rendezvous", "Matches, by the client's rendezvous method and the outcome", &by_outcome(&results, |group, outcome| match group {
            MatchGroup::Rendezvous(way) => Some([("rendezvous", way.as_str()), ("outcome", outcome)]),
            _ => None,
        }))?;
        self.rounded("snowflake_broker_rounded_match_outcomes_by_country", "Matches, by the client's country and the outcome, rounded up to a multiple of 8; of countries with 8 addresses or more in an hour of the day", by_outcome(&results, |group, outcome| match group {
            MatchGroup::Country(country) => Some([("cc", country.as_str()), ("outcome", outcome)]),
            _ => None,
        }))
    }

    #[rustfmt::skip]
    fn episodes(&mut self, episodes: &EpisodeCounts) -> fmt::Result {
        self.counter("snowflake_broker_episodes_begun", "Episodes of clients that began: the requests of one client until it is served or silent for a minute", episodes.begun())?;
        let results = EpisodeResult::ALL.map(|result| ([("result", result.as_str())], episodes.with_result(result)));
        self.counters("snowflake_broker_episodes", "Episodes of clients, by result", &results.into())?;
        self.distribution("snowflake_broker_tries_until_served", "Requests of a client until the match that worked", episodes.tries())?;
        self.distribution("snowflake_broker_until_served_seconds", "Time from a client's first request until the answer of the match that worked", episodes.seconds())
    }

    fn distribution<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: &Distribution<N>,
    ) -> fmt::Result {
        let buckets: Vec<_> = values.buckets().collect();
        let mut family = self.family(name, help, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(values.sum(), values.count(), &buckets, None)
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        sums: &BTreeMap<SeriesLabels<'_, N>, u64>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, sum) in sums {
            let mut series = family.encode_family(labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(sum, None)?;
        }
        Ok(())
    }

    /// Writes counters whose values are rounded up one by one.
    fn rounded<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        mut sums: BTreeMap<SeriesLabels<'_, N>, u64>,
    ) -> fmt::Result {
        for sum in sums.values_mut() {
            *sum = Rounded::from(*sum).get();
        }
        self.counters(name, help, &sums)
    }

    fn latencies(&mut self, name: &str, help: &str, by_client: &LatenciesByClient) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for ((rendezvous, nat), latencies) in by_client {
            let labels = [("rendezvous", rendezvous.as_str()), ("nat", nat.as_str())];
            let (sum, count) = (latencies.sum().as_secs_f64(), latencies.count());
            let mut series = family.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(sum, count, &latencies.buckets(), None)?;
        }
        Ok(())
    }

    fn attempts(&mut self, name: &str, help: &str, attempts: &Counts<u32>) -> fmt::Result {
        let mut buckets = Vec::new();
        let mut lowest = 0;
        for bound in ATTEMPTS {
            let inside = attempts.sum(|attempts| (lowest..=bound).contains(attempts));
            buckets.push((f64::from(bound), inside));
            lowest = bound + 1;
        }
        buckets.push((f64::INFINITY, attempts.sum(|attempts| *attempts >= lowest)));
        let sum = attempts
            .iter()
            .map(|(attempts, clients)| f64::from(*attempts) * as_f64(clients));
        let mut family = self.family(name, help, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(sum.sum(), attempts.sum(|_| true), &buckets, None)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        gauges: &Family<ProxyLabels, Gauge>,
    ) -> fmt::Result {
        gauges.encode(self.family(name, help, MetricType::Gauge)?)
    }

    fn family<'a>(
        &'a mut self,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        // The registry ends the help texts of its families the same way.
        self.0
            .encode_descriptor(name, &format!("{help}."), None, kind)
    }
}

//! The exact counters as Prometheus reads them: families of which each series is a sum
//! of counts. Each that is known beforehand is there at 0, so that rates can be told
//! from the first event on. Countries are not known beforehand: of those only `??` is
//! there.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::counters::{AnsweredClient, ArrivalPattern, Counters};
use super::counting::SharedCounting;
use super::families::ProxyLabels;
use super::labels::{AnswerFate, ClientOutcome, PollOutcome, Refusal, Rendezvous, Request};
use super::latencies::Latencies;
use super::published::{PublishedAnswer, PublishedClient, PublishedPoll};
use super::rounded::Rounded;
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// Upper bounds of the number of proxies that a client was offered to; more are in one
/// more bucket.
const ATTEMPTS: [u32; 4] = [1, 2, 3, 5];

macro_rules! label_sets {
    ($($set:ident { $($label:ident: $kind:ty),+ })+) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
        struct $set {
            $($label: $kind),+
        }
    )+};
}

label_sets! {
    UniqueProxyLabels { r#type: ProxyType, nat: NatType, cc: CountryCode }
    PublishedPollLabels { nat: NatType, r#type: ProxyType, status: PublishedPoll }
    PublishedClientLabels {
        nat: NatType, status: PublishedClient, cc: CountryCode, rendezvous_method: Rendezvous
    }
    PublishedAnswerLabels { r#type: ProxyType, status: PublishedAnswer }
    ProxyPollLabels { r#type: ProxyType, nat: NatType, outcome: PollOutcome }
    RendezvousLabels { rendezvous: Rendezvous }
    ClientPollLabels { rendezvous: Rendezvous, nat: NatType, outcome: ClientOutcome }
    AnswerLabels { r#type: ProxyType, outcome: AnswerFate }
    RefusalLabels { request: Request, reason: Refusal }
    AnsweredLabels { rendezvous: Rendezvous, nat: NatType }
}

/// The families of the reference broker, rounded where their name says so. They are
/// public, and the only ones that know countries.
///
/// One of them is exact, as it is there: `snowflake_proxy_total` counts proxies and no
/// client, an address once in a window of the metrics log, with the type and the NAT of
/// its first poll.
#[derive(Debug)]
pub(super) struct PublishedFamilies(pub(super) SharedCounting);

/// The families of the operator. They count exactly.
#[derive(Debug)]
pub(super) struct OperatorFamilies(pub(super) SharedCounting);

impl Collector for PublishedFamilies {
    #[rustfmt::skip]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.0.lock().counters.clone();
        let mut page = Page(encoder);
        page.counters("snowflake_proxy", "Unique addresses of proxies that polled, each once a day, with the type and NAT of its first poll", unique_proxies(&counters))?;
        page.rounded("snowflake_rounded_proxy_poll", "Polls of proxies, rounded up to a multiple of 8", published_polls(&counters))?;
        page.rounded("snowflake_rounded_proxy_poll_with_relay_url_extension", "Polls with a relay pattern, rounded up to a multiple of 8", arrivals(&counters, ArrivalPattern::With))?;
        page.rounded("snowflake_rounded_proxy_poll_without_relay_url_extension", "Polls without a relay pattern, rounded up to a multiple of 8", arrivals(&counters, ArrivalPattern::Without))?;
        page.rounded("snowflake_rounded_proxy_poll_rejected_relay_url_extension", "Polls rejected for their relay pattern, rounded up to a multiple of 8", rejected_patterns(&counters))?;
        page.rounded("snowflake_rounded_client_poll", "Polls of clients, rounded up to a multiple of 8", published_clients(&counters))?;
        page.rounded("snowflake_rounded_proxy_answer", "Answers of proxies, rounded up to a multiple of 8", published_answers(&counters))
    }
}

impl Collector for OperatorFamilies {
    #[rustfmt::skip]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.0.lock().counters.clone();
        let mut page = Page(encoder);
        page.counter("snowflake_broker_proxy_polls_received", "Polls of proxies that came; each has its outcome in snowflake_broker_proxy_polls_total", counters.proxy_arrivals.sum(|_| true))?;
        page.counters("snowflake_broker_proxy_polls", "Polls of proxies by what became of them", proxy_polls(&counters))?;
        page.counters("snowflake_broker_client_polls_received", "Polls of clients that came; each has its outcome in snowflake_broker_client_polls_total", client_arrivals(&counters))?;
        page.counters("snowflake_broker_client_polls", "Polls of clients by what became of them", client_polls(&counters))?;
        page.counters("snowflake_broker_proxy_answers", "Answers of proxies by what became of them", answers(&counters))?;
        page.counter("snowflake_broker_second_answers", "Answers to clients that had one already", second_answers(&counters))?;
        page.counters("snowflake_broker_refusals", "Requests turned away, by why", refusals(&counters))?;
        page.attempts("snowflake_broker_attempts_per_answer", "Proxies that an answered client was offered to", &counters)?;
        page.latencies("snowflake_broker_hand_off_to_answer_seconds", "From the hand-off to the proxy that answered until its answer", &counters.hand_off_to_answer)?;
        page.latencies("snowflake_broker_request_to_answer_seconds", "From the arrival of a client's request until its answer", &counters.request_to_answer)
    }
}

type Sums<L> = BTreeMap<L, u64>;

fn unique_proxies(counters: &Counters) -> Sums<UniqueProxyLabels> {
    counters.unique_proxies.sums(|proxy| {
        Some(UniqueProxyLabels {
            r#type: proxy.r#type,
            nat: proxy.nat,
            cc: proxy.country,
        })
    })
}

fn published_polls(counters: &Counters) -> Sums<PublishedPollLabels> {
    counters.proxy_polls.sums(|end| {
        Some(PublishedPollLabels {
            nat: end.nat,
            r#type: end.r#type,
            status: PublishedPoll::of(end.outcome)?,
        })
    })
}

fn arrivals(counters: &Counters, pattern: ArrivalPattern) -> Sums<ProxyLabels> {
    counters.proxy_arrivals.sums(|poll| {
        (poll.pattern == pattern).then_some(ProxyLabels {
            nat: poll.nat,
            r#type: poll.r#type,
        })
    })
}

fn rejected_patterns(counters: &Counters) -> Sums<ProxyLabels> {
    counters.proxy_polls.sums(|end| {
        (end.refusal == Some(Refusal::Pattern)).then_some(ProxyLabels {
            nat: end.nat,
            r#type: end.r#type,
        })
    })
}

fn published_clients(counters: &Counters) -> Sums<PublishedClientLabels> {
    counters.client_polls.sums(|end| {
        Some(PublishedClientLabels {
            nat: end.nat,
            status: PublishedClient::of(end.outcome)?,
            cc: end.country?,
            rendezvous_method: end.rendezvous,
        })
    })
}

fn published_answers(counters: &Counters) -> Sums<PublishedAnswerLabels> {
    counters.answers.sums(|end| {
        Some(PublishedAnswerLabels {
            r#type: end.r#type,
            status: PublishedAnswer::of(end.outcome)?,
        })
    })
}

fn proxy_polls(counters: &Counters) -> Sums<ProxyPollLabels> {
    counters.proxy_polls.sums(|end| {
        Some(ProxyPollLabels {
            r#type: end.r#type,
            nat: end.nat,
            outcome: end.outcome,
        })
    })
}

fn client_arrivals(counters: &Counters) -> Sums<RendezvousLabels> {
    let labels = |rendezvous| RendezvousLabels { rendezvous };
    counters.client_arrivals.sums(|way| Some(labels(*way)))
}

fn client_polls(counters: &Counters) -> Sums<ClientPollLabels> {
    counters.client_polls.sums(|end| {
        Some(ClientPollLabels {
            rendezvous: end.rendezvous,
            nat: end.nat,
            outcome: end.outcome,
        })
    })
}

fn answers(counters: &Counters) -> Sums<AnswerLabels> {
    counters.answers.sums(|end| {
        Some(AnswerLabels {
            r#type: end.r#type,
            outcome: end.outcome,
        })
    })
}

fn second_answers(counters: &Counters) -> u64 {
    use AnswerFate::{Beaten, Repeated};
    let answers = &counters.answers;
    answers.sum(|end| matches!(end.outcome, Beaten | Repeated))
}

fn refusals(counters: &Counters) -> Sums<RefusalLabels> {
    let of = |request| move |reason| RefusalLabels { request, reason };
    let polls = counters
        .proxy_polls
        .sums(|end| end.refusal.map(of(Request::ProxyPoll)));
    let clients = counters
        .client_polls
        .sums(|end| end.refusal.map(of(Request::ClientPoll)));
    let answers = counters
        .answers
        .sums(|end| end.refusal.map(of(Request::ProxyAnswer)));
    polls.into_iter().chain(clients).chain(answers).collect()
}

/// The families as they are written, one after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        sums: Sums<L>,
    ) -> fmt::Result {
        self.each(name, help, sums, |sum| sum)
    }

    /// The same, rounded up one by one.
    fn rounded<L: EncodeLabelSet>(&mut self, name: &str, help: &str, sums: Sums<L>) -> fmt::Result {
        self.each(name, help, sums, |sum| Rounded::from(sum).get())
    }

    fn each<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        sums: Sums<L>,
        show: fn(u64) -> u64,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, sum) in sums {
            let mut series = family.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&show(sum), None)?;
        }
        Ok(())
    }

    fn latencies(
        &mut self,
        name: &str,
        help: &str,
        latencies: &BTreeMap<AnsweredClient, Latencies>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (client, latencies) in latencies {
            let labels = AnsweredLabels {
                rendezvous: client.rendezvous,
                nat: client.nat,
            };
            let (sum, count) = (latencies.sum().as_secs_f64(), latencies.count());
            let mut series = family.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(sum, count, &latencies.buckets(), None)?;
        }
        Ok(())
    }

    fn attempts(&mut self, name: &str, help: &str, counters: &Counters) -> fmt::Result {
        let attempts = &counters.attempts;
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

    fn family<'a>(
        &'a mut self,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        // As the registry ends those of its families.
        self.0
            .encode_descriptor(name, &format!("{help}."), None, kind)
    }
}

#[expect(clippy::cast_precision_loss, reason = "no broker counts to 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

//! Cost of a whole match in the broker without HTTP: a poll, a client and the answer,
//! with their metrics and tasks, on one thread, among 1,000, 100,000 and a million parked
//! polls.
//!
//! Target: a few microseconds, a small part of the 60 that a match with its three HTTP
//! requests may cost. Run with `cargo bench --bench broker`.
//!
//! In the first group all requests are local, so nothing is shared out or learnt. In the
//! others each proxy and each client has an address of its own, and the broker shares its
//! proxies and clients out by source; learns from the outcomes; and has 4 or 64 rules of
//! policy, the most that there may be, each of which has to be compared with every proxy and
//! client.

#[path = "support/bare_broker.rs"]
mod bare_broker;
#[path = "support/messages.rs"]
mod messages;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use snowflake_broker::broker::{Broker, Caller, RequestOrigin, clock};
use snowflake_broker::matching::{Settings, SupplySettings};
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::answer::{AnswerStatus, ProxyAnswer};
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::proxy::{PollResponse, PollStatus, ProxyPoll, ProxyTypes, Sid};
use snowflake_broker::{outcomes, policy};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;

use bare_broker::bare_broker;

/// The address of local proxies and clients. Without it, clients' offers would be searched
/// for one.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// The addresses before those of proxies and clients that are not local.
const BEFORE_PROXIES: u32 = 0x0b00_0000;
const BEFORE_CLIENTS: u32 = 0x5000_0000;
/// Both are used again after this many.
const ADDRESSES: u64 = 0x0100_0000;
const CROWDS: [u64; 3] = [1_000, 100_000, 1_000_000];

/// The work of a broker besides matching.
#[derive(Clone, Copy)]
enum Work {
    Nothing,
    Sharing,
    /// It shares, and learns.
    Learning,
    /// It shares and learns, and has this many rules.
    Rules(usize),
}

/// The groups of measurements.
const GROUPS: [(&str, Work); 5] = [
    ("broker", Work::Nothing),
    ("broker that shares", Work::Sharing),
    ("broker that learns", Work::Learning),
    ("broker with 4 rules", Work::Rules(4)),
    ("broker with 64 rules", Work::Rules(64)),
];

/// A proxy that has polled, and the response it got.
type Polled = (Sid, PollResponse);

/// A broker with parked polls, each in its own task.
struct Scene {
    broker: Arc<Broker>,
    is_local: bool,
    poll: ProxyPoll,
    client: ClientPoll,
    answer: ProxyAnswer,
    polls: u64,
    clients: u64,
    told: UnboundedSender<Polled>,
    tellings: UnboundedReceiver<Polled>,
}

impl Scene {
    fn new(work: Work) -> Self {
        let settings = Settings {
            proxy_timeout: Duration::from_hours(24),
            max_parked_polls: 2_000_000,
            ..Settings::default()
        };
        let (told, tellings) = mpsc::unbounded_channel();
        let poll = messages::proxy_poll("0", "unrestricted");
        Self {
            broker: Arc::new(broker(settings, work)),
            is_local: matches!(work, Work::Nothing),
            poll: ProxyPoll::decode(&poll, &ProxyTypes::default()).expect("a poll"),
            client: ClientPoll::decode(&messages::client_poll("restricted")).expect("a poll"),
            answer: ProxyAnswer::decode(&messages::proxy_answer("0")).expect("an answer"),
            polls: 0,
            clients: 0,
            told,
            tellings,
        }
    }

    /// Starts one more poll, which is parked once its task has run.
    fn poll(&mut self) {
        self.polls += 1;
        let sid = Sid::new(&self.polls.to_string()).expect("a number is not empty");
        let mut poll = ProxyPoll {
            sid,
            ..self.poll.clone()
        };
        let (broker, told) = (Arc::clone(&self.broker), self.told.clone());
        let caller = self.caller(BEFORE_PROXIES, self.polls);
        tokio::spawn(async move {
            let answered = broker
                .proxy_poll(caller, &mut poll)
                .await
                .expect("every Sid is unique");
            told.send((sid, answered.response))
                .expect("the scene listens");
        });
    }

    /// Matches a client with the oldest parked proxy, which answers, and starts a new
    /// poll.
    async fn rendezvous(&mut self) {
        self.poll();
        self.clients += 1;
        let caller = self.caller(BEFORE_CLIENTS, self.clients);
        let (broker, client) = (Arc::clone(&self.broker), self.client.clone());
        let client = tokio::spawn(async move {
            broker
                .client_poll(caller, Rendezvous::Http, client, || false)
                .await
        });
        let (sid, response) = self.tellings.recv().await.expect("the scene tells");
        assert!(matches!(response.status, PollStatus::ClientMatch { .. }));
        let answer = ProxyAnswer {
            sid,
            ..self.answer.clone()
        };
        let status = self.broker.proxy_answer(local_caller(), answer).await;
        assert!(matches!(status, Ok(AnswerStatus::Success)));
        let answer = client.await.expect("the task goes on");
        black_box(answer.expect("an answer"));
    }

    /// The proxy or client of this number.
    fn caller(&self, before: u32, number: u64) -> Caller {
        if self.is_local {
            return local_caller();
        }
        let number = u32::try_from(number % ADDRESSES).expect("a small number");
        let address = Ipv4Addr::from(before + number).into();
        Caller {
            arrived: clock::now(),
            address: Some(address),
            origin: RequestOrigin::Sender(address),
        }
    }
}

fn local_caller() -> Caller {
    Caller {
        arrived: clock::now(),
        address: Some(ADDRESS),
        origin: RequestOrigin::Local,
    }
}

fn broker(settings: Settings, work: Work) -> Broker {
    let bare = bare_broker(settings);
    let shares = |broker: Broker| broker.sharing(SupplySettings::default(), [1; 16].into());
    let learns = |broker: Broker| broker.learning(outcomes::Settings::default(), [2; 16].into());
    match work {
        Work::Nothing => bare,
        Work::Sharing => shares(bare),
        Work::Learning => learns(shares(bare)),
        Work::Rules(number) => {
            let broker = learns(shares(bare));
            broker.control().set_policy(rules(number));
            broker
        }
    }
}

/// Rules that apply to all clients and proxies, and so have a say in every match.
fn rules(number: usize) -> policy::Settings {
    let rule = |number| {
        format!(
            "[[rules]]\nname = \"rule-{number}\"\nclient = {{ nat = [\"restricted\"] }}\n\
             proxy = {{ nat = [\"unrestricted\"] }}\naction = \"prefer\"\n"
        )
    };
    let rules: String = (0..number).map(rule).collect();
    toml::from_str(&rules).expect("rules of a policy")
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

fn matches(criterion: &mut Criterion) {
    for (name, work) in GROUPS {
        group(criterion, name, work);
    }
}

fn group(criterion: &mut Criterion, name: &str, work: Work) {
    let mut group = criterion.benchmark_group(name);
    for size in CROWDS {
        let runtime = runtime();
        let mut scene = Scene::new(work);
        runtime.block_on(async {
            let driven = Arc::clone(&scene.broker);
            tokio::spawn(async move { driven.drive().await });
            for _ in 0..size {
                scene.poll();
                yield_now().await;
            }
        });
        group.bench_function(format!("a match/{size}"), |bencher| {
            bencher.iter(|| runtime.block_on(scene.rendezvous()));
        });
    }
    group.finish();
}

criterion_group!(benches, matches);
criterion_main!(benches);

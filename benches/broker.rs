//! Cost of a whole match in the broker without HTTP: a poll, a client and the answer,
//! with their metrics and tasks, on one thread, among 1,000 and 100,000 parked polls.
//!
//! Target: a few microseconds, a small part of the 60 that a match with its three HTTP
//! requests may cost. Run with `cargo bench --bench broker`.

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
use snowflake_broker::matching::Settings;
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::answer::{AnswerStatus, ProxyAnswer};
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::proxy::{PollResponse, PollStatus, ProxyPoll, ProxyTypes, Sid};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;

use bare_broker::bare_broker;

/// The address of proxies and clients. Without it, clients' offers would be searched for
/// one.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const CROWDS: [u64; 2] = [1_000, 100_000];

/// A proxy that has polled, and the response it got.
type Polled = (Sid, PollResponse);

/// A broker with parked polls, each in its own task.
struct Scene {
    broker: Arc<Broker>,
    poll: ProxyPoll,
    client: ClientPoll,
    answer: ProxyAnswer,
    polls: u64,
    told: UnboundedSender<Polled>,
    tellings: UnboundedReceiver<Polled>,
}

impl Scene {
    fn new() -> Self {
        let settings = Settings {
            proxy_timeout: Duration::from_hours(24),
            ..Settings::default()
        };
        let (told, tellings) = mpsc::unbounded_channel();
        let poll = messages::proxy_poll("0", "unrestricted");
        Self {
            broker: Arc::new(bare_broker(settings)),
            poll: ProxyPoll::decode(&poll, &ProxyTypes::default()).expect("a poll"),
            client: ClientPoll::decode(&messages::client_poll("restricted")).expect("a poll"),
            answer: ProxyAnswer::decode(&messages::proxy_answer("0")).expect("an answer"),
            polls: 0,
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
        tokio::spawn(async move {
            let answered = broker
                .proxy_poll(caller(), &mut poll)
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
        let (broker, client) = (Arc::clone(&self.broker), self.client.clone());
        let client = tokio::spawn(async move {
            broker
                .client_poll(caller(), Rendezvous::Http, client, || false)
                .await
        });
        let (sid, response) = self.tellings.recv().await.expect("the scene tells");
        assert!(matches!(response.status, PollStatus::ClientMatch { .. }));
        let answer = ProxyAnswer {
            sid,
            ..self.answer.clone()
        };
        let status = self.broker.proxy_answer(caller(), answer);
        assert!(matches!(status, Ok(AnswerStatus::Success)));
        let answer = client.await.expect("the task goes on");
        black_box(answer.expect("an answer"));
    }
}

fn caller() -> Caller {
    Caller {
        arrived: clock::now(),
        address: Some(ADDRESS),
        origin: RequestOrigin::Local,
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

fn matches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broker");
    for size in CROWDS {
        let runtime = runtime();
        let mut scene = Scene::new();
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

//! A broker with a private pool beside it, its clients and proxies, and an operator who
//! changes things: three bytes a step.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::{Broker, Caller, NoAnswer, RequestOrigin, clock};
use snowflake_broker::matching;
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::answer::AnswerStatus;
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyTypes};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::fronts::on_front;
use crate::support::front::Front;
use crate::support::in_process::answer_as;
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::private_pools;

/// Longer than anybody waits, and longer than the outcome of a match is open.
const FOREVER: Duration = Duration::from_mins(10);

/// The bytes of a step.
const STEP: usize = 3;

/// Steps of an input that are run.
const STEPS_MAX: usize = 200;

pub(super) fn facade(input: &[u8]) {
    // What happened before would change what happens.
    on_front(1, async |front| {
        let mut scene = Scene::new(front).await;
        for step in input.chunks_exact(STEP).take(STEPS_MAX) {
            scene.step(step[0], step[1], step[2]).await;
        }
        scene.end().await;
    });
}

/// The brokers, and whoever waits for one of them.
struct Scene<'a> {
    front: &'a Front,
    brokers: [Arc<Broker>; 2],
    clients: Vec<JoinHandle<Result<String, NoAnswer>>>,
    proxies: Vec<JoinHandle<()>>,
    /// Answers that the broker took.
    taken: usize,
    /// Clients that left, who may have been given an answer.
    gone: usize,
}

impl<'a> Scene<'a> {
    async fn new(front: &'a Front) -> Self {
        front
            .broker
            .control()
            .set_matching(matching::Settings::default());
        private_pools::set(&front.broker, &["a"]).await;
        let private = private_pools::broker_of(&front.broker, "a");
        Self {
            brokers: [Arc::clone(&front.broker), private],
            front,
            clients: Vec::new(),
            proxies: Vec::new(),
            taken: 0,
            gone: 0,
        }
    }

    /// Does one thing: `who` does it, and `how` chooses among its variants.
    async fn step(&mut self, what: u8, who: u8, how: u8) {
        let broker = Arc::clone(&self.brokers[usize::from(what >> 7)]);
        match what % 16 {
            0..=3 => self.proxy(broker, who, how),
            4..=7 => self.client(broker, who, how),
            8..=10 => self.answer(&broker, who).await,
            11 => self.leave(who),
            12 | 13 => sleep(Duration::from_millis(u64::from(how) * 50)).await,
            14 => sleep(Duration::from_secs(how.into())).await,
            _ => self.operate(who, how).await,
        }
        // Whoever begins has begun.
        tokio::task::yield_now().await;
    }

    fn proxy(&mut self, broker: Arc<Broker>, who: u8, how: u8) {
        let nat = nat(how);
        let poll = proxy_poll(&sid(who), nat);
        let poll = ProxyPoll::decode(poll.as_bytes(), &ProxyTypes::default());
        let mut poll = poll.expect("a poll");
        let polling = async move {
            // Its `Sid` may be in use.
            let _ = broker.proxy_poll(caller(10, how), &mut poll).await;
        };
        self.proxies.push(tokio::spawn(polling));
    }

    fn client(&mut self, broker: Arc<Broker>, who: u8, how: u8) {
        let poll = client_poll(&format!("offer {}", who % 8), nat(how));
        let poll = ClientPoll::decode(poll.as_bytes()).expect("a poll");
        let method = Rendezvous::ALL[usize::from(how) % Rendezvous::ALL.len()];
        let asking = async move {
            let answer = broker.client_poll(caller(20, who), method, poll, || false);
            answer.await.map(|answer| answer.text())
        };
        self.clients.push(tokio::spawn(asking));
    }

    async fn answer(&mut self, broker: &Broker, who: u8) {
        let answered = answer_as(broker, caller(10, who), &sid(who), "answer").await;
        self.taken += usize::from(matches!(answered, Ok(AnswerStatus::Success)));
    }

    fn leave(&mut self, who: u8) {
        if let Some(client) = nth(&mut self.clients, who) {
            client.abort();
            self.gone += 1;
        }
        if let Some(proxy) = nth(&mut self.proxies, who) {
            proxy.abort();
        }
    }

    async fn operate(&self, who: u8, how: u8) {
        let control = self.front.broker.control();
        match how % 8 {
            0 => control.start_lame_duck(),
            1 => control.start_draining(),
            2..=4 => control.resume(),
            5 => control.set_matching(matching::Settings {
                max_attempts: usize::from(who % 4) + 1,
                max_parked_polls: usize::from(who),
                client_queue_max: usize::from(who / 2),
                ..matching::Settings::default()
            }),
            6 => private_pools::set(&self.front.broker, &[]).await,
            _ => private_pools::set(&self.front.broker, &["a"]).await,
        }
    }

    /// Everybody gets a reply in time, nothing is left, and the books balance.
    async fn end(self) {
        let mut answered = 0;
        for client in self.clients {
            let reply = timeout(FOREVER, client)
                .await
                .expect("every client gets a reply");
            answered += usize::from(is_answered(reply));
        }
        for proxy in self.proxies {
            let reply = timeout(FOREVER, proxy)
                .await
                .expect("every proxy gets a reply");
            let has_panicked = reply.is_err_and(|error| error.is_panic());
            assert!(!has_panicked, "a proxy's poll panicked");
        }
        assert!(
            answered <= self.taken,
            "{answered} answers out of {}",
            self.taken
        );
        assert!(self.taken <= answered + self.gone, "answers are lost");
        sleep(FOREVER).await;
        for broker in &self.brokers {
            assert_eq!(broker.control().parked_polls().len(), 0);
            let left = broker.control().snapshot();
            assert_eq!(left.queued_clients + left.matched_clients, 0);
            let totals = broker.control().outcome_totals();
            assert_eq!(
                totals.answered,
                totals.worked + totals.failed + totals.unknown
            );
        }
    }
}

/// Whether a client got an answer; it may also have left.
fn is_answered(reply: Result<Result<String, NoAnswer>, tokio::task::JoinError>) -> bool {
    match reply {
        Ok(answer) => answer.is_ok(),
        Err(error) => {
            assert!(error.is_cancelled(), "a client's poll panicked");
            false
        }
    }
}

/// One of those who wait, if anybody does.
fn nth<T>(all: &mut [T], number: u8) -> Option<&mut T> {
    let count = all.len();
    (count > 0).then(|| &mut all[usize::from(number) % count])
}

fn sid(number: u8) -> String {
    format!("sid {}", number % 16)
}

fn nat(number: u8) -> &'static str {
    NatType::ALL[usize::from(number) % NatType::ALL.len()].as_str()
}

/// One of a few addresses of a network.
fn caller(network: u8, number: u8) -> Caller {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, network, number % 4 + 1));
    Caller {
        arrived: clock::now(),
        address: Some(address),
        origin: RequestOrigin::Sender(address),
    }
}

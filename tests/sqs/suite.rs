//! The test suite for every service, in memory and on moto.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use snowflake_broker::matching::Settings;
use snowflake_broker::metrics::labels::PrivatePoolName;
use snowflake_broker::sqs::{Cause, ClientId, LONG_POLL, Queue, QueueFront, QueueOptions};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::memory::Memory;
use crate::moto::{self, Moto};
use crate::service::{Service, response};
use crate::support::front::Front;
use crate::support::messages::{answer, client_poll, offer, proxy_answer, proxy_poll};
use crate::support::private_pools::pool;
use crate::support::wait::{LONG_ENOUGH, until};

/// Runs each scenario on both services; those on moto share a server.
macro_rules! suite {
    ($($scenario:ident),+ $(,)?) => {
        mod in_memory {
            use super::Memory;
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(Memory::default()).await;
            })+
        }

        #[tokio::test]
        async fn on_moto() {
            moto::alone("suite::on_moto", async || {
                let moto = Moto::started().await;
                $(
                    $scenario(moto.service()).await;
                    moto.service().purge().await;
                )+
            })
            .await;
        }
    };
}

suite! {
    a_client_gets_the_answer_of_a_proxy,
    a_client_is_denied,
    a_client_times_out,
    a_message_without_a_client_is_dropped,
    a_client_that_could_name_any_queue_is_dropped,
    a_malformed_poll_is_answered_so,
    a_slow_answer_delays_nobody,
    a_message_that_is_too_old_is_deleted_unanswered,
    a_message_is_seen_again_after_a_crash,
    a_queue_that_is_deleted_is_created_again,
    what_is_taken_is_handled_before_the_end,
    reply_queues_are_listed_aged_and_deleted,
    clients_of_a_pools_queue_get_its_proxies,
}

/// A broker that serves a queue, with proxies over HTTP.
pub(crate) struct Scene {
    pub(crate) http: Arc<Front>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Scene {
    pub(crate) fn new(service: &impl Service) -> Self {
        Self::with(service, Settings::default())
    }

    fn with(service: &impl Service, settings: Settings) -> Self {
        Self::of_pool(service, settings, None)
    }

    /// A queue of the private pool with this name.
    fn of_pool(service: &impl Service, settings: Settings, pool: Option<&str>) -> Self {
        let http = Arc::new(Front::new(settings));
        let options = QueueOptions {
            name: "the queue".to_owned(),
            pool: pool.map(PrivatePoolName::from),
            concurrency: 16,
            jitter: || 0.0,
        };
        let front = QueueFront::new(service.queue(), Arc::clone(&http.broker), options);
        let stop = CancellationToken::new();
        let served = tokio::spawn(front.serve(stop.clone()));
        Self { http, stop, served }
    }

    /// Polls as the proxy with this name, in the background.
    fn proxy(&self, sid: &'static str) -> JoinHandle<Value> {
        self.proxy_at("/proxy", sid)
    }

    fn proxy_at(&self, path: &'static str, sid: &'static str) -> JoinHandle<Value> {
        let http = Arc::clone(&self.http);
        tokio::spawn(async move { http.post(path, proxy_poll(sid, "open")).await.json() })
    }

    async fn answer(&self, sid: &str, name: &str) {
        let reply = self.http.post("/answer", proxy_answer(sid, name)).await;
        assert_eq!(reply.json()["Status"], "success");
    }

    /// Waits until this many polls of SQS clients have this outcome.
    async fn until_ended(&self, outcome: &str, count: u64) {
        let labels = [&*format!("outcome=\"{outcome}\""), "rendezvous=\"sqs\""];
        let polls = "snowflake_broker_client_polls_total";
        let ended = until(outcome, async || {
            Ok((self.http.count(polls, &labels) == count).then_some(()))
        });
        ended.await.unwrap();
    }

    fn refused(&self, reason: &str) -> u64 {
        let labels = ["request=\"client_poll\"", &format!("reason=\"{reason}\"")];
        self.http.count("snowflake_broker_refusals_total", &labels)
    }

    /// Stops the front as the program does.
    pub(crate) async fn end(self, service: &impl Service) {
        self.stop.cancel();
        timeout(LONG_ENOUGH, self.served).await.unwrap().unwrap();
        assert_eq!(service.undeleted().await, 0);
    }
}

async fn handed(poll: JoinHandle<Value>) -> Value {
    let poll = timeout(LONG_ENOUGH, poll).await.unwrap().unwrap();
    assert_eq!(poll["Status"], "client match");
    poll
}

/// Waits for a condition that the service may take a while to meet.
async fn until_so<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waited = until(what, async || Ok(is_so().await.then_some(())));
    waited.await.unwrap();
}

async fn a_client_gets_the_answer_of_a_proxy(service: impl Service) {
    let scene = Scene::new(&service);
    let poll = scene.proxy("p");
    service
        .write(Some("c1"), &client_poll("x", "restricted"))
        .await;
    let handed = handed(poll).await;
    assert_eq!(handed["NAT"], "restricted");
    // Even before there is an answer.
    until_so("there is a reply queue", || service.has_reply_queue("c1")).await;
    scene.answer("p", "hi").await;
    assert_eq!(
        response(&service, "c1").await,
        json!({"answer": answer("hi")})
    );
    scene.until_ended("matched", 1).await;
    let sqs = [
        "rendezvous_method=\"sqs\"",
        "status=\"matched\"",
        "cc=\"??\"",
    ];
    assert_eq!(
        scene
            .http
            .count("snowflake_rounded_client_poll_total", &sqs),
        8
    );
    let ages = "snowflake_broker_sqs_message_age_seconds_count";
    assert!(exposes(&scene, &format!("{ages} 1")));
    scene.end(&service).await;
}

fn exposes(scene: &Scene, line: &str) -> bool {
    use snowflake_broker::metrics::exposition::Format;
    let metrics = scene
        .http
        .broker
        .control()
        .expose_metrics(None, Format::Text);
    metrics.lines().any(|known| known == line)
}

async fn a_client_is_denied(service: impl Service) {
    let scene = Scene::new(&service);
    service.write(Some("c2"), &client_poll("x", "open")).await;
    let error = "no snowflake proxies currently available";
    assert_eq!(response(&service, "c2").await, json!({"error": error}));
    scene.until_ended("denied", 1).await;
    scene.end(&service).await;
}

async fn a_client_times_out(service: impl Service) {
    let settings = Settings {
        client_timeout: Duration::from_secs(3),
        ..Settings::default()
    };
    let scene = Scene::with(&service, settings);
    let poll = scene.proxy("p");
    service.write(Some("c3"), &client_poll("x", "open")).await;
    handed(poll).await;
    let error = "timed out waiting for answer!";
    assert_eq!(response(&service, "c3").await, json!({"error": error}));
    scene.until_ended("timed_out", 1).await;
    scene.end(&service).await;
}

async fn a_message_without_a_client_is_dropped(service: impl Service) {
    let scene = Scene::new(&service);
    let poll = scene.proxy("p");
    service.write(None, &client_poll("x", "open")).await;
    scene.until_ended("refused", 1).await;
    assert_eq!(scene.refused("bad_request"), 1);
    // The message was deleted without asking a proxy.
    service.write(Some("c4"), &client_poll("x", "open")).await;
    handed(poll).await;
    scene.answer("p", "hi").await;
    response(&service, "c4").await;
    scene.end(&service).await;
}

async fn a_client_that_could_name_any_queue_is_dropped(service: impl Service) {
    let scene = Scene::new(&service);
    for client in ["a/b", "a.fifo", &"c".repeat(64)] {
        service.write(Some(client), &client_poll("x", "open")).await;
    }
    scene.until_ended("refused", 3).await;
    scene.end(&service).await;
}

async fn a_malformed_poll_is_answered_so(service: impl Service) {
    let scene = Scene::new(&service);
    for (client, body, error) in [
        ("c5", "2.0\n{}", "unsupported message version"),
        ("c6", "1.0\n{\"offer\":\"\"}", "no supplied offer"),
    ] {
        service.write(Some(client), body).await;
        assert_eq!(response(&service, client).await, json!({"error": error}));
    }
    // A message larger than any poll is not read.
    service.write(Some("c7"), &"x".repeat(100_001)).await;
    scene.until_ended("refused", 3).await;
    assert!(!service.has_reply_queue("c7").await);
    scene.end(&service).await;
}

async fn a_slow_answer_delays_nobody(service: impl Service) {
    let scene = Scene::new(&service);
    let slow = scene.proxy("slow");
    service
        .write(Some("c8"), &client_poll("slow", "open"))
        .await;
    handed(slow).await;
    let quick = scene.proxy("quick");
    service
        .write(Some("c9"), &client_poll("quick", "open"))
        .await;
    handed(quick).await;
    scene.answer("quick", "quick").await;
    assert_eq!(
        response(&service, "c9").await,
        json!({"answer": answer("quick")})
    );
    scene.answer("slow", "slow").await;
    assert_eq!(
        response(&service, "c8").await,
        json!({"answer": answer("slow")})
    );
    scene.end(&service).await;
}

async fn a_message_that_is_too_old_is_deleted_unanswered(service: impl Service) {
    let settings = Settings {
        client_timeout: Duration::from_secs(2),
        ..Settings::default()
    };
    service.queue().open().await.unwrap();
    service.write(Some("c10"), &client_poll("x", "open")).await;
    sleep(settings.client_timeout).await;
    let scene = Scene::with(&service, settings);
    scene.until_ended("refused", 1).await;
    assert_eq!(scene.refused("stale"), 1);
    until_so("it is deleted", || async { service.undeleted().await == 0 }).await;
    assert!(!service.has_reply_queue("c10").await);
    scene.end(&service).await;
}

async fn a_message_is_seen_again_after_a_crash(service: impl Service) {
    let crashed = service.queue();
    crashed.open().await.unwrap();
    service.write(Some("c11"), &client_poll("x", "open")).await;
    let taken = crashed.receive(10, Duration::from_secs(1)).await.unwrap();
    assert_eq!(taken.len(), 1);
    let scene = Scene::new(&service);
    let poll = scene.proxy("p");
    handed(poll).await;
    // Nor is the message lost now.
    assert_eq!(service.undeleted().await, 1);
    scene.answer("p", "hi").await;
    assert_eq!(
        response(&service, "c11").await,
        json!({"answer": answer("hi")})
    );
    scene.end(&service).await;
}

async fn a_queue_that_is_deleted_is_created_again(service: impl Service) {
    let scene = Scene::new(&service);
    service.write(Some("c12"), "1.0\n{}").await;
    response(&service, "c12").await;
    service.delete_queue().await;
    let failures = ["call=\"ReceiveMessage\""];
    let counted = "snowflake_broker_sqs_call_failures_total";
    until_so("it is missed", || async {
        scene.http.count(counted, &failures) > 0
    })
    .await;
    service.write(Some("c13"), "1.0\n{}").await;
    response(&service, "c13").await;
    scene.end(&service).await;
}

async fn what_is_taken_is_handled_before_the_end(service: impl Service) {
    let settings = Settings {
        client_timeout: Duration::from_secs(15),
        ..Settings::default()
    };
    let scene = Scene::with(&service, settings);
    let poll = scene.proxy("p");
    service.write(Some("c14"), &client_poll("x", "open")).await;
    handed(poll).await;
    scene.stop.cancel();
    // The last call that waits for messages ends on its own.
    sleep(LONG_POLL + Duration::from_millis(1_500)).await;
    service.write(Some("c15"), &client_poll("x", "open")).await;
    scene.answer("p", "hi").await;
    assert_eq!(
        response(&service, "c14").await,
        json!({"answer": answer("hi")})
    );
    timeout(LONG_ENOUGH, scene.served).await.unwrap().unwrap();
    // Later messages are left to the successor.
    assert_eq!(service.undeleted().await, 1);
}

async fn reply_queues_are_listed_aged_and_deleted(service: impl Service) {
    let queue = service.queue();
    let mut created = Vec::new();
    for id in 0..5 {
        let client = ClientId::parse(Some(format!("listed-{id}"))).unwrap();
        created.push(queue.create_reply_queue(&client).await.unwrap());
        // Creating a queue again makes no difference.
        assert!(created.contains(&queue.create_reply_queue(&client).await.unwrap()));
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = queue.reply_queues(after).await.unwrap();
        listed.extend(page.queues);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for reply_queue in &created {
        assert!(listed.contains(reply_queue));
        assert!(queue.age(reply_queue).await.unwrap() < LONG_ENOUGH);
        queue.delete_reply_queue(reply_queue).await.unwrap();
        let age = queue.age(reply_queue).await.unwrap_err();
        assert_eq!(age.cause, Cause::NoSuchQueue);
        let reply = queue.reply(reply_queue, "{}".to_owned()).await.unwrap_err();
        assert_eq!(reply.cause, Cause::NoSuchQueue);
        let again = queue.delete_reply_queue(reply_queue).await.unwrap_err();
        assert_eq!(again.cause, Cause::NoSuchQueue);
    }
}

/// The queue of a pool that is not there yet, then there, then gone.
async fn clients_of_a_pools_queue_get_its_proxies(service: impl Service) {
    let scene = Scene::of_pool(&service, Settings::default(), Some("a"));
    let pools = Arc::clone(scene.http.broker.private_pools().unwrap());
    service.write(Some("c16"), &client_poll("x", "open")).await;
    scene.until_ended("refused", 1).await;
    pools.set(vec![pool("a", |_| {})]);
    let of_all = scene.proxy("all");
    let of_pool = scene.proxy_at("/p/aaaaaaaaaaaaaaaa/proxy", "own");
    service.write(Some("c17"), &client_poll("y", "open")).await;
    assert_eq!(handed(of_pool).await["Offer"], offer("y"));
    let answered = scene
        .http
        .post("/p/aaaaaaaaaaaaaaaa/answer", proxy_answer("own", "hi"));
    assert_eq!(answered.await.json()["Status"], "success");
    assert_eq!(
        response(&service, "c17").await,
        json!({"answer": answer("hi")})
    );
    pools.set(vec![]);
    service.write(Some("c18"), &client_poll("z", "open")).await;
    scene.until_ended("refused", 2).await;
    assert!(!of_all.is_finished());
    for client in ["c16", "c18"] {
        assert!(!service.has_reply_queue(client).await);
    }
    scene.end(&service).await;
}

//! The real program, with queues on moto.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::join_all;
use serde_json::json;
use snowflake_broker::broker::clock;
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, SECRET, Setup, pause};
use crate::moto::{self, Moto, MotoService, QUEUE};
use crate::service::{Service as _, response};
use crate::support::messages::{answer, client_poll, proxy_answer};
use crate::support::peer::Peer;
use crate::support::wait::{LONG_ENOUGH, until};

/// A client with its own session description asks through SQS, and a proxy answers.
async fn rendezvous(broker: &Broker, service: &MotoService, name: &str) {
    let (id, sid) = (format!("{SECRET}{name}"), format!("p{name}"));
    // The broker may take longer to poll its queue again than a proxy waits.
    service.queue_url().await;
    let poll = broker.proxy(sid.clone());
    service
        .write(Some(&id), &client_poll(name, "restricted"))
        .await;
    let poll = timeout(LONG_ENOUGH, poll).await.unwrap().unwrap();
    assert_eq!(poll["Status"], "client match", "{}", broker.log());
    broker.answer(&sid, name).await;
    assert_eq!(
        response(service, &id).await,
        json!({"answer": answer(name)})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_at_once_with_proxies_that_take_three_seconds() {
    const NAME: &str = "program::two_hundred_clients_at_once_with_proxies_that_take_three_seconds";
    moto::alone(NAME, two_hundred_clients).await;
}

const CLIENTS: usize = 200;
/// After 2 s, a client is offered to a second proxy.
const PROXIES: usize = 2 * CLIENTS;
const PROXY_TAKES: Duration = Duration::from_secs(3);

#[expect(clippy::print_stdout, reason = "figures, shown with --nocapture")]
async fn two_hundred_clients() {
    let moto = Moto::started().await;
    let service = moto.service();
    let moto_takes = calls_of_two_hundred(&service).await;
    let broker = Setup::new(&moto)
        .with_credentials()
        .quiet()
        .env("SNOWFLAKE_BROKER_MATCHING__CLIENT_TIMEOUT", "30s")
        .start()
        .await;
    let queue = service.queue_url().await;
    let proxies = join_all((0..PROXIES).map(|number| slow_proxy(&broker, number)));
    let clients = async {
        let parked = "snowflake_broker_parked_polls";
        broker
            .until_metric(parked, f64::from(u16::try_from(PROXIES).unwrap()))
            .await;
        join_all((0..CLIENTS).map(|number| client(&service, &queue, number))).await
    };
    let waited = async {
        tokio::select! {
            waited = clients => waited,
            _ = proxies => panic!("proxies poll for ever"),
        }
    };
    let waited = timeout(LONG_ENOUGH, waited).await.unwrap();
    let longest = waited.into_iter().max().unwrap();
    println!(
        "{CLIENTS} clients, each answered after {longest:?} at most; \
         of the calls alone moto does as many in {moto_takes:?}"
    );
    let failed = broker
        .metric("snowflake_broker_sqs_call_failures_total")
        .await;
    assert!(failed < 1.0, "{failed} calls failed");
    let deleted = until("the messages are deleted", async || {
        Ok((service.undeleted().await == 0).then_some(()))
    });
    deleted.await.unwrap();
    broker.log();
}

/// The time that moto takes for the calls of this many clients, without a broker.
async fn calls_of_two_hundred(service: &MotoService) -> Duration {
    let began = clock::now();
    let calls = (0..CLIENTS).map(|number| async move {
        let name = format!("alone-{number}");
        let created = service.client.create_queue().queue_name(&name).send().await;
        let url = created.unwrap().queue_url.unwrap();
        service.write_to(&url, None, "x").await;
        service.url(&name).await.unwrap();
        let call = service.client.receive_message().queue_url(&url);
        let received = call.send().await.unwrap().messages.unwrap();
        let receipt = received[0].receipt_handle.as_deref().unwrap();
        let call = service.client.delete_message().queue_url(&url);
        call.receipt_handle(receipt).send().await.unwrap();
    });
    join_all(calls).await;
    clock::now() - began
}

/// Polls continuously, and answers each offer after 3 s.
async fn slow_proxy(broker: &Broker, number: usize) {
    for poll in 0.. {
        let sid = format!("p{number}-{poll}");
        let poll = broker.proxy(sid.clone()).await.unwrap();
        if poll["Status"] == "client match" {
            sleep(PROXY_TAKES).await;
            let mut peer = Peer::http1(broker.addr).await;
            let answer = proxy_answer(&sid, poll["Offer"].as_str().unwrap());
            peer.post("/answer", answer).await;
        }
    }
}

/// The time from the start of a client's writing to its answer.
async fn client(service: &MotoService, queue: &str, number: usize) -> Duration {
    let (id, name) = (format!("{SECRET}{number}"), format!("offer-{number:03}"));
    let began = clock::now();
    service
        .write_to(queue, Some(&id), &client_poll(&name, "restricted"))
        .await;
    let taken = service.wait_for_response(&id).await;
    let waited = clock::now() - began;
    assert!(taken.contains(&name), "{taken}");
    waited
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_for_twenty_seconds() {
    moto::alone(
        "program::a_service_that_is_down_for_twenty_seconds",
        async || {
            let mut moto = Moto::started().await;
            let broker = Setup::new(&moto).with_credentials().start().await;
            let service = moto.service();
            rendezvous(&broker, &service, "before").await;
            let failures = "snowflake_broker_sqs_call_failures_total";
            moto.stop().await;
            broker.until_metric(failures, 1.0).await;
            pause(20).await;
            // HTTP keeps working, and the log is not flooded.
            let poll = broker.proxy("p".to_owned());
            assert_eq!(
                timeout(LONG_ENOUGH, poll).await.unwrap().unwrap()["Status"],
                "no match"
            );
            let told = broker
                .log()
                .lines()
                .filter(|line| line.contains("WARN"))
                .count();
            assert!((1..=6).contains(&told), "{}", broker.log());

            // All queues are gone: the broker creates its own again.
            moto.start().await;
            let started = clock::now();
            rendezvous(&broker, &service, "after").await;
            assert!(clock::now() - started < Duration::from_secs(30));
            broker.until_logged(&["INFO", QUEUE, "working again"]).await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_and_a_half_thousand_stale_reply_queues() {
    moto::alone(
        "program::two_and_a_half_thousand_stale_reply_queues",
        async || {
            // Three pages of reply queues.
            let mut moto = Moto::absent().with_stale_queues(2_500);
            moto.start().await;
            let service = moto.service();
            service
                .client
                .create_queue()
                .queue_name("others")
                .send()
                .await
                .unwrap();
            let broker = Setup::new(&moto).with_credentials().quiet().start().await;
            rendezvous(&broker, &service, "fresh").await;
            broker
                .until_metric("snowflake_broker_sqs_reply_queues_swept_total", 2_500.0)
                .await;
            let mut left = service
                .client
                .list_queues()
                .send()
                .await
                .unwrap()
                .queue_urls
                .unwrap();
            left.sort();
            let names: Vec<&str> = left
                .iter()
                .filter_map(|url| url.rsplit('/').next())
                .collect();
            let fresh = format!("snowflake-client-{SECRET}fresh");
            assert_eq!(names, ["others", QUEUE, &fresh]);
            broker.log();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_created_as_it_should_be_and_one_that_is_there_is_left_alone() {
    const NAME: &str =
        "program::the_queue_is_created_as_it_should_be_and_one_that_is_there_is_left_alone";
    moto::alone(NAME, async || {
        let moto = Moto::started().await;
        let service = moto.service();
        let retention = async || {
            let url = service.queue_url().await;
            let retention = QueueAttributeName::MessageRetentionPeriod;
            service.attribute(&url, retention).await
        };
        let broker = Setup::new(&moto).with_credentials().start().await;
        assert_eq!(retention().await.as_deref(), Some("300"));
        broker.crash().await;
        service.purge().await;
        let create = service.client.create_queue().queue_name(QUEUE);
        let retained = QueueAttributeName::MessageRetentionPeriod;
        create.attributes(retained, "600").send().await.unwrap();
        let broker = Setup::new(&moto).with_credentials().start().await;
        rendezvous(&broker, &service, "a").await;
        assert_eq!(retention().await.as_deref(), Some("600"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_queues_by_profile_and_region() {
    moto::alone(
        "program::several_queues_by_profile_and_region",
        async || {
            let moto = Moto::started().await;
            let (folder, keys) = (
                moto.scratch.path(),
                "aws_access_key_id=k\naws_secret_access_key=s\n",
            );
            let credentials = folder.join("credentials");
            std::fs::write(&credentials, format!("[one]\n{keys}[two]\n{keys}")).unwrap();
            let config = folder.join("config.toml");
            let queues = format!(
                "[sqs]\nqueue_name = \"{QUEUE}\"\nregion = \"eu-west-1\"\nprofiles = [\"one\"]\n\
             [[sqs.queues]]\nname = \"{QUEUE}\"\nregion = \"ap-south-1\"\nprofile = \"two\"\n"
            );
            std::fs::write(&config, queues).unwrap();
            let broker = Setup::bare(&moto)
                .args(&[format!("--config={}", config.display())])
                .env("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap())
                .start()
                .await;
            for (region, name) in [("eu-west-1", "a"), ("ap-south-1", "b")] {
                rendezvous(&broker, &moto.service_in(region), name).await;
            }
            assert_eq!(moto.service().url(QUEUE).await, None);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_are_named_and_may_come_later() {
    const NAME: &str = "program::credentials_that_are_missing_are_named_and_may_come_later";
    moto::alone(NAME, async || {
        let moto = Moto::started().await;
        let credentials = moto.scratch.path().join("credentials");
        let broker = Setup::new(&moto)
            .args(&["--sqs-profiles=one".to_owned()])
            .env("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap())
            .start()
            .await;
        let named = [
            "WARN",
            QUEUE,
            "profile one",
            "GetQueueUrl",
            "no credentials",
        ];
        broker.until_logged(&named).await;
        let poll = broker.proxy("p".to_owned());
        assert_eq!(
            timeout(LONG_ENOUGH, poll).await.unwrap().unwrap()["Status"],
            "no match"
        );
        let profile = "[one]\naws_access_key_id=k\naws_secret_access_key=s\n";
        std::fs::write(&credentials, profile).unwrap();
        rendezvous(&broker, &moto.service(), "a").await;
        broker.until_logged(&["INFO", QUEUE, "working again"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_permitted_is_named_with_the_profile_and_the_queue() {
    const NAME: &str = "program::what_is_not_permitted_is_named_with_the_profile_and_the_queue";
    moto::alone(NAME, async || {
        // moto knows no users, and requires one from the first call on.
        let mut moto = Moto::absent().with("INITIAL_NO_AUTH_ACTION_COUNT", "0");
        moto.start().await;
        let broker = Setup::new(&moto).with_credentials().start().await;
        let named = [
            "WARN",
            QUEUE,
            "default credentials",
            "GetQueueUrl",
            "not permitted",
            "sqs:GetQueueUrl",
        ];
        broker.until_logged(&named).await;
        broker
            .until_metric(
                "snowflake_broker_sqs_call_failures_total{call=\"GetQueueUrl\"}",
                2.0,
            )
            .await;
        let poll = broker.proxy("p".to_owned());
        assert_eq!(
            timeout(LONG_ENOUGH, poll).await.unwrap().unwrap()["Status"],
            "no match"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_answers_whom_it_has_and_leaves_the_others() {
    const NAME: &str = "program::a_broker_that_stops_answers_whom_it_has_and_leaves_the_others";
    moto::alone(NAME, async || {
        let moto = Moto::started().await;
        let service = moto.service();
        let broker = Setup::new(&moto)
            .with_credentials()
            .env("SNOWFLAKE_BROKER_MATCHING__CLIENT_TIMEOUT", "15s")
            .start()
            .await;
        let poll = broker.proxy("p".to_owned());
        let (first, late) = (format!("{SECRET}1"), format!("{SECRET}2"));
        service.write(Some(&first), &client_poll("x", "open")).await;
        let poll = timeout(LONG_ENOUGH, poll).await.unwrap().unwrap();
        assert_eq!(poll["Status"], "client match");
        broker.terminate();
        broker.until_logged(&["stopping"]).await;
        // The call that waits for messages ends on its own.
        pause(4).await;
        broker.answer("p", "hi").await;
        service.write(Some(&late), &client_poll("x", "open")).await;
        let (status, log) = broker.stopped().await;
        assert!(
            status.success() && !log.contains("clients waiting"),
            "{log}"
        );
        assert_eq!(
            response(&service, &first).await,
            json!({"answer": answer("hi")})
        );
        assert_eq!(service.undeleted().await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_broker_has_crashed_is_seen_again() {
    moto::alone(
        "program::a_message_whose_broker_has_crashed_is_seen_again",
        async || {
            let moto = Moto::started().await;
            let service = moto.service();
            let broker = Setup::new(&moto).with_credentials().start().await;
            let poll = broker.proxy("p".to_owned());
            let id = format!("{SECRET}1");
            service.write(Some(&id), &client_poll("x", "open")).await;
            timeout(LONG_ENOUGH, poll).await.unwrap().unwrap();
            broker.crash().await;
            let successor = Setup::new(&moto).with_credentials().start().await;
            let stale = "snowflake_broker_refusals_total{request=\"client_poll\",reason=\"stale\"}";
            successor.until_metric(stale, 1.0).await;
            let deleted = until("the message is deleted", async || {
                Ok((service.undeleted().await == 0).then_some(()))
            });
            deleted.await.unwrap();
            successor.log();
        },
    )
    .await;
}

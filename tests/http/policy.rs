//! Rules of the policy, from requests to replies.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::policy::Settings;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::requests::Reply;
use crate::{front, start};

const MATCHES: &str = "snowflake_broker_policy_matches_total";

fn set(front: &Front, rules: &str) {
    let settings: Settings = toml::from_str(rules).unwrap();
    front.broker.control().set_policy(settings);
}

async fn poll_of(front: &Arc<Front>, sid: &str, proxy_type: &str) -> JoinHandle<Reply> {
    let body = proxy_poll(sid, "unrestricted").replace("standalone", proxy_type);
    start(front, "/proxy", body).await
}

async fn client(front: &Arc<Front>) {
    drop(start(front, "/client", client_poll("x", "restricted")).await);
}

async fn is_matched(poll: JoinHandle<Reply>) -> bool {
    poll.await.unwrap().json()["Status"] == "client match"
}

#[tokio::test(start_paused = true)]
async fn a_rule_puts_a_type_last_and_is_counted() {
    let front = front();
    set(
        &front,
        "reserve = 0\n[[rules]]\nname = 'phones'\naction = 'last'\nproxy.types = ['orbot-*']\n",
    );
    let counted = |result: &str| {
        front.count(
            MATCHES,
            &["rule=\"phones\"", &format!("result=\"{result}\"")],
        )
    };
    assert_eq!(counted("hit"), 0);
    let phone = poll_of(&front, "a", "orbot-ios").await;
    let other = poll_of(&front, "b", "webext").await;
    client(&front).await;
    assert!(is_matched(other).await);
    assert!(!phone.is_finished());
    assert_eq!(
        (counted("hit"), counted("softened"), counted("answered")),
        (1, 0, 0)
    );
    set(&front, "");
    client(&front).await;
    assert!(is_matched(phone).await);
    assert_eq!(counted("hit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_denied_proxy_never_gets_the_client() {
    let front = front();
    set(
        &front,
        "[[rules]]\nname = 'a'\naction = 'deny'\nproxy.types = ['webext']\n\
         client.rendezvous = ['http']\n",
    );
    let denied = poll_of(&front, "a", "webext").await;
    client(&front).await;
    let denied_too = poll_of(&front, "b", "webext").await;
    sleep(Duration::from_millis(10)).await;
    assert!(!denied.is_finished() && !denied_too.is_finished());
    let allowed = poll_of(&front, "c", "standalone").await;
    assert!(is_matched(allowed).await);
}

async fn poll_of_one_source(front: Arc<Front>, sid: &'static str) -> Reply {
    let address = RemoteAddress(([5, 9, 0, 1], 1).into());
    let request = Request::post("/proxy").extension(address);
    let body = proxy_poll(sid, "unrestricted");
    front.send(request.body(body.into()).unwrap()).await
}

/// Polls three times, coming back after this time each, and returns true if the last one is
/// served before a web extension that came later.
async fn is_served_first(returns: u64) -> bool {
    let front = front();
    set(
        &front,
        "reserve = 0\n[[rules]]\nname = 'old'\naction = 'last'\nproxy.generation = ['old']\n",
    );
    for sid in ["a", "b"] {
        let poll = poll_of_one_source(Arc::clone(&front), sid);
        assert_eq!(poll.await.json()["NextPoll"], 20_000);
        sleep(Duration::from_millis(returns)).await;
    }
    let last = tokio::spawn(poll_of_one_source(Arc::clone(&front), "c"));
    sleep(Duration::from_millis(1)).await;
    let other = poll_of(&front, "d", "webext").await;
    client(&front).await;
    sleep(Duration::from_millis(1)).await;
    assert_ne!(last.is_finished(), other.is_finished());
    last.is_finished()
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_ignores_its_interval_is_an_old_one() {
    assert!(is_served_first(20_000).await);
    assert!(!is_served_first(0).await);
}

//! The cases of `tests/conformance/sqs.toml`, with queues in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request};
use tokio::time::{sleep, timeout};

use crate::conformance_kit::{Answered, Exchange, Section, Server, run};
use crate::memory::Memory;
use crate::service::Service as _;
use crate::suite::Scene;
use crate::support::front::Front;
use crate::support::wait::LONG_ENOUGH;

/// The time between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(10);

/// A broker's queue in memory, and its endpoints for proxies.
#[derive(Clone)]
struct WithQueue {
    queue: Memory,
    http: Arc<Front>,
}

impl WithQueue {
    /// Writes a message, and takes the response to it once the message is deleted.
    async fn exchange(&self, message: Request<String>) -> Result<Answered, String> {
        let client = message.headers().get("ClientID");
        let client = client.map(|id| id.to_str().unwrap());
        self.queue.write(client, message.body()).await;
        let deleted = async {
            while self.queue.undeleted().await > 0 {
                sleep(PAUSE).await;
            }
        };
        timeout(LONG_ENOUGH, deleted)
            .await
            .map_err(|_| "the message is not deleted".to_owned())?;
        let mut headers = HeaderMap::new();
        let mut answered = None;
        if let Some(client) = client {
            let queue = format!("snowflake-client-{client}");
            headers.insert("queue", HeaderValue::try_from(queue).unwrap());
            answered = self.queue.take_response(client).await;
        }
        Ok(Answered {
            status: if answered.is_some() { 200 } else { 204 },
            headers,
            body: answered.unwrap_or_default(),
        })
    }
}

impl Exchange for WithQueue {
    async fn send(&self, request: Request<String>) -> Result<Answered, String> {
        if request.method() == "SEND" {
            return self.exchange(request).await;
        }
        let reply = self.http.send(request.map(Body::from)).await;
        Ok(Answered {
            status: reply.status.as_u16(),
            headers: reply.headers,
            body: reply.body,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_queue_are_served_by_the_protocol() {
    let section = Section::parse(include_str!("../conformance/sqs.toml")).unwrap();
    assert_eq!(section.server, Server::Queue);
    for (number, case) in section.cases.iter().enumerate() {
        let queue = Memory::default();
        let scene = Scene::new(&queue);
        scene.http.begin_with_the_defaults();
        let broker = WithQueue {
            queue: queue.clone(),
            http: Arc::clone(&scene.http),
        };
        let held = run(&broker, case, &format!("case-{number}")).await;
        assert_eq!(held, Ok(()), "{}", case.name);
        scene.end(&queue).await;
    }
}

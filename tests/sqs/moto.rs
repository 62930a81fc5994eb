//! moto, a server that simulates SQS, in a test's namespace.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use snowflake_broker::sqs::aws::AwsQueue;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;

use crate::service::Service;
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::{namespace, port, unpacked};

/// The tests' name for the queue that clients write to.
pub(crate) const QUEUE: &str = "snowflake-broker";
/// The region of the queue.
pub(crate) const REGION: &str = "us-east-1";

/// Runs the test `name` in its own network, from which nothing reaches the Internet and
/// AWS.
pub(crate) async fn alone(name: &str, test: impl AsyncFnOnce() -> ()) {
    if !namespace::entered() {
        return namespace::run_inside(name).await.unwrap();
    }
    namespace::connect().await.unwrap();
    test().await;
}

/// A server, running or not.
pub(crate) struct Moto {
    pub(crate) scratch: TempDir,
    pub(crate) addr: SocketAddr,
    variables: Vec<(&'static str, String)>,
    stale_queues: usize,
    process: Option<Process>,
}

impl Moto {
    /// A server that does not run yet.
    pub(crate) fn absent() -> Self {
        Self {
            scratch: tempfile::tempdir().unwrap(),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap())),
            variables: Vec::new(),
            stale_queues: 0,
            process: None,
        }
    }

    /// A running server.
    pub(crate) async fn started() -> Self {
        let mut moto = Self::absent();
        moto.start().await;
        moto
    }

    /// Sets a variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Creates this many reply queues at the start, last modified ten minutes ago.
    pub(crate) fn with_stale_queues(mut self, count: usize) -> Self {
        self.stale_queues = count;
        self
    }

    /// Starts the server, without other queues.
    pub(crate) async fn start(&mut self) {
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/sqs/moto_server.py"
            ))
            .arg(self.addr.ip().to_string())
            .arg(self.addr.port().to_string())
            .arg(self.stale_queues.to_string())
            .env("PYTHONPATH", unpacked::file("moto"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let log = self.scratch.path().join("moto.log");
        let mut process = Process::start(&mut command, log).unwrap();
        let listening = until("moto listens", async || {
            process.log()?;
            Ok(TcpStream::connect(self.addr).await.ok())
        });
        listening.await.unwrap();
        self.process = Some(process);
    }

    /// Kills the server, with all its queues.
    pub(crate) async fn stop(&mut self) {
        self.process = None;
        let gone = until("moto is gone", async || {
            Ok(TcpStream::connect(self.addr).await.err())
        });
        gone.await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A client of the server, in a region.
    pub(crate) fn client_in(&self, region: &'static str) -> Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.url())
            .region(Region::new(region))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .http_client(http_client())
            .build();
        Client::from_conf(config)
    }

    pub(crate) fn service(&self) -> MotoService {
        self.service_in(REGION)
    }

    pub(crate) fn service_in(&self, region: &'static str) -> MotoService {
        let client = self.client_in(region);
        MotoService { client }
    }
}

/// The same kind of client as the broker's.
fn http_client() -> aws_sdk_sqs::config::SharedHttpClient {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    let builder = aws_smithy_http_client::Builder::new();
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    builder.tls_provider(tls).build_https()
}

/// The queues of one account and region.
pub(crate) struct MotoService {
    pub(crate) client: Client,
}

impl MotoService {
    pub(crate) async fn url(&self, name: &str) -> Option<String> {
        let found = self.client.get_queue_url().queue_name(name).send().await;
        found.ok()?.queue_url
    }

    /// Waits until the broker has created its queue.
    pub(crate) async fn queue_url(&self) -> String {
        let found = until("the queue is there", async || Ok(self.url(QUEUE).await));
        found.await.unwrap()
    }

    /// Writes a poll into the queue at a URL.
    pub(crate) async fn write_to(&self, url: &str, client: Option<&str>, body: &str) {
        let mut call = self.client.send_message().queue_url(url).message_body(body);
        if let Some(client) = client {
            let id = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(client)
                .build();
            call = call.message_attributes("ClientID", id.unwrap());
        }
        call.send().await.unwrap();
    }

    /// Receives a response in the way of clients: they look for their queue after a
    /// second and then every second, and wait for a message in it.
    pub(crate) async fn wait_for_response(&self, client: &str) -> String {
        let name = format!("snowflake-client-{client}");
        let url = loop {
            sleep(Duration::from_secs(1)).await;
            if let Some(url) = self.url(&name).await {
                break url;
            }
        };
        let call = self.client.receive_message().queue_url(url);
        let received = call.wait_time_seconds(20).send().await.unwrap();
        received.messages.unwrap().pop().unwrap().body.unwrap()
    }

    /// Deletes everything.
    pub(crate) async fn purge(&self) {
        let listed = self.client.list_queues().send().await.unwrap();
        for url in listed.queue_urls.unwrap_or_default() {
            let deleted = self.client.delete_queue().queue_url(url).send().await;
            deleted.unwrap();
        }
    }

    pub(crate) async fn attribute(&self, url: &str, name: QueueAttributeName) -> Option<String> {
        let call = self.client.get_queue_attributes().queue_url(url);
        let found = call.attribute_names(name.clone()).send().await;
        found.ok()?.attributes?.remove(&name)
    }
}

impl Service for MotoService {
    type Queue = AwsQueue;

    fn queue(&self) -> AwsQueue {
        AwsQueue::new(self.client.clone(), QUEUE.to_owned())
    }

    async fn write(&self, client: Option<&str>, body: &str) {
        let url = self.queue_url().await;
        self.write_to(&url, client, body).await;
    }

    async fn take_response(&self, client: &str) -> Option<String> {
        let url = self.url(&format!("snowflake-client-{client}")).await?;
        let call = self.client.receive_message().queue_url(url);
        let received = call.wait_time_seconds(0).send().await.ok()?;
        received.messages?.pop()?.body
    }

    async fn has_reply_queue(&self, client: &str) -> bool {
        let name = format!("snowflake-client-{client}");
        self.url(&name).await.is_some()
    }

    async fn undeleted(&self) -> usize {
        let url = self.queue_url().await;
        let mut undeleted = 0;
        for kind in [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ] {
            let number = self.attribute(&url, kind).await.unwrap();
            undeleted += number.parse::<usize>().unwrap();
        }
        undeleted
    }

    async fn delete_queue(&self) {
        let url = self.queue_url().await;
        self.client
            .delete_queue()
            .queue_url(url)
            .send()
            .await
            .unwrap();
    }
}

//! Holds a broker to the wire protocol: sends it the requests of `tests/conformance`, and
//! compares its responses with those that all clients and proxies rely on.
//!
//! ```sh
//! cargo build --profile dist --example conformance
//! target/dist/examples/conformance --broker-url http://127.0.0.1:8080
//! ```
//!
//! The broker may be any implementation. It needs the default bridge list, the allowed relay
//! pattern `^snowflake.torproject.net$`, and nobody else at it: the reference broker with
//! `-disable-tls -addr 127.0.0.1:8080 -allowed-relay-pattern '^snowflake.torproject.net$'`. It
//! takes two minutes, in which it mostly waits for polls to end. The exit code is 1 if a case
//! fails.
#![expect(clippy::print_stdout, reason = "it reports to a person")]

#[path = "../tests/conformance/kit/mod.rs"]
mod kit;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use http::{Request, Uri};
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use kit::{Answered, Exchange, Section, run};

const FILES: [&str; 8] = [
    include_str!("../tests/conformance/endpoints.toml"),
    include_str!("../tests/conformance/client.toml"),
    include_str!("../tests/conformance/legacy.toml"),
    include_str!("../tests/conformance/proxy.toml"),
    include_str!("../tests/conformance/relay-patterns.toml"),
    include_str!("../tests/conformance/nat.toml"),
    include_str!("../tests/conformance/answer.toml"),
    include_str!("../tests/conformance/amp.toml"),
];

/// Holds a broker to the wire protocol.
#[derive(Parser)]
struct Options {
    /// The broker's URL, such as <http://127.0.0.1:8080>.
    #[arg(long)]
    broker_url: Uri,
    /// Only the sections whose titles have this text in them.
    #[arg(long)]
    section: Option<String>,
}

/// A broker at a URL.
#[derive(Clone)]
struct AtUrl {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, String>,
}

impl Exchange for AtUrl {
    async fn send(&self, request: Request<String>) -> Result<Answered, String> {
        self.exchange(request)
            .await
            .map_err(|error| format!("{error:#}"))
    }
}

impl AtUrl {
    fn new(url: &Uri) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            url: url.to_string().trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    async fn exchange(&self, mut request: Request<String>) -> Result<Answered> {
        *request.uri_mut() = format!("{}{}", self.url, request.uri()).parse()?;
        let response = self.client.request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answered {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let broker = AtUrl::new(&options.broker_url)?;
    let mut sections = Vec::new();
    for file in FILES {
        let section = Section::parse(file)?;
        let is_wanted = |part: &String| section.title.contains(part);
        if options.section.as_ref().is_none_or(is_wanted) {
            sections.push(section);
        }
    }
    ensure!(!sections.is_empty(), "--section: no title has this text");
    let failed = report(&broker, &sections).await;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Reports each case. Returns the number of those that fail.
async fn report(broker: &AtUrl, sections: &[Section]) -> usize {
    let (mut count, mut failed) = (0, 0);
    for section in sections {
        println!("\n{}\n", section.title);
        for case in &section.cases {
            count += 1;
            let mark = format!("conformance-{:016x}", fastrand::u64(..));
            match run(broker, case, &mark).await {
                Ok(()) => println!("  ok      {}", case.name),
                Err(problem) => {
                    failed += 1;
                    println!("  FAILED  {}\n          {problem}", case.name);
                }
            }
        }
    }
    println!("\n{count} cases, {failed} failed");
    failed
}

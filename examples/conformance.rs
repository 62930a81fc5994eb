//! Holds a broker to the wire protocol: sends it the requests of `tests/conformance`, and
//! compares its responses with those that all clients and proxies rely on.
//!
//! ```sh
//! cargo build --profile dist --example conformance
//! target/dist/examples/conformance --broker-url http://127.0.0.1:8080
//! ```
//!
//! The broker may be any implementation. It needs the default bridge list, the allowed relay
//! pattern `^snowflake.torproject.net$`, its files of countries, and nobody else at it: the reference
//! broker with `-disable-tls -addr 127.0.0.1:8080 -allowed-relay-pattern
//! '^snowflake.torproject.net$'`. Cases of
//! what it need not offer are skipped, each with the reason: `--version` names the version of the
//! reference broker that it is or does as, and `--probe-url` a probe server. It takes five minutes,
//! in which it mostly waits for polls to end. The exit code is 1 if a case fails.
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

use kit::{Answered, Exchange, Section, Server, Version, run};

const FILES: [&str; 14] = [
    include_str!("../tests/conformance/endpoints.toml"),
    include_str!("../tests/conformance/client.toml"),
    include_str!("../tests/conformance/legacy.toml"),
    include_str!("../tests/conformance/proxy.toml"),
    include_str!("../tests/conformance/relay-patterns.toml"),
    include_str!("../tests/conformance/nat.toml"),
    include_str!("../tests/conformance/answer.toml"),
    include_str!("../tests/conformance/amp.toml"),
    include_str!("../tests/conformance/sqs.toml"),
    include_str!("../tests/conformance/time.toml"),
    include_str!("../tests/conformance/debug.toml"),
    include_str!("../tests/conformance/metrics-log.toml"),
    include_str!("../tests/conformance/prometheus.toml"),
    include_str!("../tests/conformance/nat-probe.toml"),
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
    /// Only what this version of the reference broker does.
    #[arg(long, value_enum, default_value = "main")]
    version: Version,
    /// The URL of a probe server, without its path, such as <http://127.0.0.1:8443>.
    #[arg(long)]
    probe_url: Option<Uri>,
}

/// The servers to hold to the protocol.
struct Servers {
    broker: AtUrl,
    probe: Option<AtUrl>,
    version: Version,
}

/// The numbers of cases by what came of them.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
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
    let mut sections = Vec::new();
    for file in FILES {
        let section = Section::parse(file)?;
        let is_wanted = |part: &String| section.title.contains(part);
        if options.section.as_ref().is_none_or(is_wanted) {
            sections.push(section);
        }
    }
    ensure!(!sections.is_empty(), "--section: no title has this text");
    let servers = Servers {
        broker: AtUrl::new(&options.broker_url)?,
        probe: options.probe_url.as_ref().map(AtUrl::new).transpose()?,
        version: options.version,
    };
    let mut tally = Tally::default();
    for section in &sections {
        println!("\n{}", section.title);
        println!("docs/protocol.md: {}\n", section.page.join(", "));
        servers.report(section, &mut tally).await;
    }
    let Tally {
        passed,
        failed,
        skipped,
    } = tally;
    let skipped = match skipped {
        0 => String::new(),
        some => format!(", {some} skipped"),
    };
    println!("\n{} cases, {failed} failed{skipped}", passed + failed);
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Servers {
    /// Reports each case of a section.
    async fn report(&self, section: &Section, tally: &mut Tally) {
        let server = match self.server(section).await {
            Ok(server) => server,
            Err(reason) => {
                println!("  skipped, all {}: {reason}", section.cases.len());
                tally.skipped += section.cases.len();
                return;
            }
        };
        for case in &section.cases {
            if let Some(reason) = case.skipped(self.version) {
                tally.skipped += 1;
                println!("  skipped {}: {reason}", case.name);
                continue;
            }
            let mark = format!("conformance-{:016x}", fastrand::u64(..));
            match run(server, case, &mark).await {
                Ok(()) => {
                    tally.passed += 1;
                    println!("  ok      {}", case.name);
                }
                Err(problem) => {
                    tally.failed += 1;
                    println!("  FAILED  {}\n          {problem}", case.name);
                }
            }
        }
    }

    /// The server that a section asks. The error says why it is not asked.
    async fn server(&self, section: &Section) -> Result<&AtUrl, String> {
        match section.server {
            Server::Broker => match section.missing(&self.broker).await? {
                Some(path) => Err(format!("the broker has no {path}")),
                None => Ok(&self.broker),
            },
            Server::NatProbe => self
                .probe
                .as_ref()
                .ok_or("no --probe-url is given".to_owned()),
            Server::Queue => Err("this program does not write to queues of SQS".to_owned()),
        }
    }
}

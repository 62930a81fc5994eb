//! The cases of `tests/conformance`, each with a broker of its own.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use http::Request;
use snowflake_broker::broker::clock;
use snowflake_broker::http::{self as front_of, Endpoints, MetricsLog, Sources};
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::listener::accounts::{Accounts, Bounds};

use crate::conformance_kit::{Answered, Exchange, Section, Server, Version, run};
use crate::front;
use crate::support::front::Front;
use crate::support::requests::send;

/// This machine, from where reverse proxies name others.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A broker whose metrics log is a block of all that has happened.
#[derive(Clone)]
struct InProcess {
    /// Checks at the end that no secret was recorded.
    _front: Arc<Front>,
    endpoints: Endpoints,
}

impl InProcess {
    fn new() -> Self {
        let front = front();
        front.begin_with_the_defaults();
        let broker = Arc::clone(&front.broker);
        let block = move || broker.metrics().block(clock::wall_clock()).encode();
        let sources = Sources {
            metrics_log: Some(Arc::new(move || Ok(MetricsLog::new(block().into_bytes())))),
            accounts: Accounts::new(Bounds::default()),
            process_figures: || None,
        };
        let settings = front_of::Settings::default();
        let endpoints = front_of::router(Arc::clone(&front.broker), settings, sources);
        Self {
            _front: front,
            endpoints,
        }
    }
}

impl Exchange for InProcess {
    async fn send(&self, request: Request<String>) -> Result<Answered, String> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(RemoteAddress(HERE));
        let reply = send(&self.endpoints, request).await;
        Ok(Answered {
            status: reply.status.as_u16(),
            headers: reply.headers,
            body: reply.body,
        })
    }
}

/// Makes a test of each file.
macro_rules! sections {
    ($($name:ident: $file:literal,)*) => {
        const FILES: &[&str] = &[$($file),*];
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                holds(include_str!(concat!("../conformance/", $file))).await;
            }
        )*
    };
}

sections! {
    amp: "amp.toml",
    answers: "answer.toml",
    clients_polls: "client.toml",
    what_waits: "debug.toml",
    endpoints: "endpoints.toml",
    legacy_polls: "legacy.toml",
    metrics_log: "metrics-log.toml",
    nat_types: "nat.toml",
    prometheus: "prometheus.toml",
    proxies_polls: "proxy.toml",
    relay_patterns: "relay-patterns.toml",
    time: "time.toml",
}

/// Files with tests elsewhere, in `nat_probe.rs` and in `tests/sqs`.
const ELSEWHERE: [&str; 2] = ["nat-probe.toml", "sqs.toml"];

/// Sections of docs/protocol.md without cases, and why.
const WITHOUT_CASES: [(&str, &str); 4] = [
    ("Terms", "it only says what words mean"),
    (
        "Versions",
        "its rules are in the other sections, with cases",
    ),
    ("Those who ask", "it is about clients and proxies"),
    ("Test a broker", "it is about the cases"),
];

#[test]
fn each_file_has_a_test() {
    let mut tested: Vec<&str> = FILES.iter().chain(&ELSEWHERE).copied().collect();
    tested.sort_unstable();
    let files: Vec<String> = files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, tested);
}

/// A rule without a case is one that nobody is held to.
#[test]
fn each_section_of_the_page_has_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let headings: BTreeSet<String> = headings.map(ToOwned::to_owned).collect();
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for (name, section) in files() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
        covered.extend(section.page);
    }
    for (heading, _) in WITHOUT_CASES {
        assert!(covered.insert(heading.to_owned()), "{heading} has cases");
    }
    assert_eq!(covered, headings);
}

/// The sections by the names of their files, in order.
fn files() -> Vec<(String, Section)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let mut sections: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (
                name,
                Section::parse(&fs::read_to_string(path).unwrap()).unwrap(),
            )
        })
        .collect();
    sections.sort_by(|(one, _), (other, _)| one.cmp(other));
    sections
}

async fn holds(file: &str) {
    let section = Section::parse(file).unwrap();
    assert_eq!(section.server, Server::Broker);
    assert!(section.cases.len() > 2, "{}", section.title);
    for (number, case) in section.cases.iter().enumerate() {
        let broker = InProcess::new();
        assert_eq!(section.missing(&broker).await, Ok(None));
        let held = run(&broker, case, &format!("case-{number}")).await;
        assert_eq!(held, Ok(()), "{}: {}", section.title, case.name);
    }
}

/// A kit that finds no fault would be of no use.
#[tokio::test(start_paused = true)]
async fn each_difference_is_told() {
    for (get, problem) in [
        (
            "status = 404",
            "the status must be 404, but it is 200: \"{\\\"error\\\":",
        ),
        (
            "status = 200, body = \"\"",
            "the body must be \"\", but it is 200",
        ),
        (
            "status = 200, has = [\"proxies\"]",
            "the body must have \"proxies\" in it",
        ),
        (
            "status = 200, keys = [\"answer\"]",
            "the keys must be [\"answer\"]",
        ),
        (
            "status = 200, json = { error = \"no\" }",
            "\"error\" must be \"no\"",
        ),
        (
            "status = 200, headers = { x-y = \"z\" }",
            "x-y must be \"z\", but is None",
        ),
        (
            "status = 200, amp = { error = \"no\" }",
            "but its text does not begin with 0",
        ),
        (
            "status = 200, integers = [\"error\"]",
            "\"error\" must be an integer, not below 0",
        ),
        (
            "status = 200, takes = [1000, 2000]",
            "it must take 1s to 2s, but takes 0.0ns",
        ),
        (
            "status = 200, block = [\"a\"]",
            "the last line must have an end",
        ),
        (
            "status = 200, grown = { a = 1 }",
            "a must have grown by 1, but has from 0 to 0",
        ),
    ] {
        let told = told(&format!(
            "{{ send = {{ path = \"/client\" }}, get = {{ {get} }} }}"
        ))
        .await;
        assert!(told.contains(problem), "{told}");
    }
}

/// The error of a case with these steps.
async fn told(steps: &str) -> String {
    let file = format!("title = \"t\"\npage = []\n[[cases]]\nname = \"c\"\nsteps = [{steps}]\n");
    let section = Section::parse(&file).unwrap();
    let told = run(&InProcess::new(), &section.cases[0], "m").await;
    told.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn cases_that_are_wrong_are_told() {
    for (steps, problem) in [
        (
            "{ who = \"a\", get = { status = 200 } }",
            "a: the case is wrong: nothing was sent",
        ),
        (
            "{ get = { status = 200 } }",
            "the case is wrong: nothing was sent",
        ),
        (
            "{ send = { path = \"/client\" } }",
            "the case is wrong: nobody waits for a response",
        ),
        (
            "{ who = \"a\", send = { path = \"/proxy\" } }, { who = \"a\", leaves = true }, \
             { who = \"a\", get = { status = 400 } }",
            "a: the case is wrong: nothing was sent",
        ),
    ] {
        assert_eq!(told(steps).await, problem);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_a_broker_has_not_is_told() {
    let file = "title = \"t\"\npage = []\noptional = \"/nothing\"\ncases = []\n";
    let section = Section::parse(file).unwrap();
    assert_eq!(
        section.missing(&InProcess::new()).await,
        Ok(Some("/nothing"))
    );
}

#[test]
fn cases_that_a_broker_cannot_pass_are_skipped() {
    for (about, version, reason) in [
        ("", Version::Of2024, None),
        ("since = \"2.14.1\"", Version::Main, None),
        ("since = \"2.14.1\"", Version::Of2026, None),
        (
            "since = \"2.14.1\"",
            Version::Of2024,
            Some("later versions do this"),
        ),
        (
            "needs = \"block-at-once\"",
            Version::Main,
            Some("the log would need a block of all that has happened"),
        ),
    ] {
        let file =
            format!("title = \"t\"\npage = []\n[[cases]]\nname = \"c\"\n{about}\nsteps = []\n");
        let section = Section::parse(&file).unwrap();
        assert_eq!(section.cases[0].skipped(version), reason, "{about}");
    }
}

//! The cases of `tests/conformance`, each with a broker of its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use http::Request;
use snowflake_broker::bridges::BridgeList;

use crate::conformance_kit::{Answered, Exchange, Section, run};
use crate::front;
use crate::support::front::Front;

#[derive(Clone)]
struct InProcess(Arc<Front>);

impl Exchange for InProcess {
    async fn send(&self, request: Request<String>) -> Result<Answered, String> {
        let reply = self.0.send(request.map(Body::from)).await;
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
    endpoints: "endpoints.toml",
    legacy_polls: "legacy.toml",
    nat_types: "nat.toml",
    proxies_polls: "proxy.toml",
    relay_patterns: "relay-patterns.toml",
}

#[test]
fn each_file_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let names = files.map(|path| path.file_name().unwrap().to_owned());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, FILES);
}

async fn holds(file: &str) {
    let section = Section::parse(file).unwrap();
    assert!(section.cases.len() > 2, "{}", section.title);
    for (number, case) in section.cases.iter().enumerate() {
        let broker = InProcess(with_defaults());
        let held = run(&broker, case, &format!("case-{number}")).await;
        assert_eq!(held, Ok(()), "{}: {}", section.title, case.name);
    }
}

/// A broker with the bridges that all brokers know, and their only name allowed.
fn with_defaults() -> Arc<Front> {
    let front = front();
    front.broker.control().update_directory(|directory| {
        directory.bridges = BridgeList::default();
        directory.allowed_relay_pattern = "^snowflake.torproject.net$".into();
    });
    front
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
    ] {
        let file = format!(
            "title = \"t\"\n[[cases]]\nname = \"c\"\n\
             steps = [{{ send = {{ path = \"/client\" }}, get = {{ {get} }} }}]\n"
        );
        let section = Section::parse(&file).unwrap();
        let told = run(&InProcess(front()), &section.cases[0], "m").await;
        let told = told.unwrap_err();
        assert!(told.contains(problem), "{told}");
    }
}

//! Every call by the real grpcurl, which knows the service only from reflection.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::access::Remote;
use crate::broker::Broker;
use crate::support::unpacked;
use crate::{FOREVER, rpcs};

pub(crate) const SERVICE: &str = "snowflake.broker.admin.v1.Admin";

/// Calls one broker as one caller.
#[derive(Clone)]
pub(crate) struct Grpcurl {
    options: Vec<String>,
    address: String,
}

/// The failure of a call.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The status code, such as `NotFound`; empty if there was no call.
    pub(crate) code: String,
    /// The whole output.
    pub(crate) text: String,
}

impl Grpcurl {
    pub(crate) fn unix(socket: &Path) -> Self {
        let address = socket.to_str().unwrap();
        Self::new(&["-plaintext", "-unix"], address)
    }

    pub(crate) fn new(options: &[&str], address: &str) -> Self {
        Self {
            options: options.iter().map(|&option| option.to_owned()).collect(),
            address: address.to_owned(),
        }
    }

    /// Adds an option.
    pub(crate) fn with(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Runs grpcurl to its end, with `arguments` after the address.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        timeout(FOREVER, output)
            .await
            .expect("grpcurl hangs")
            .unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(unpacked::file("usr/bin/grpcurl"));
        command
            .args(["-connect-timeout", "20"])
            .args(&self.options)
            .arg(&self.address)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// The lines of output.
    pub(crate) async fn lines(&self, arguments: &[&str]) -> Result<Vec<String>, Failure> {
        let text = succeeded(self.run(arguments).await)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Calls a method of the service `Admin`.
    pub(crate) async fn call(&self, method: &str, request: &str) -> Result<Value, Failure> {
        self.call_of(&format!("{SERVICE}/{method}"), request).await
    }

    /// Calls a method of any service, and returns the first response.
    pub(crate) async fn call_of(&self, method: &str, request: &str) -> Result<Value, Failure> {
        let this = self.clone().with("-d", request);
        let text = succeeded(this.run(&[method]).await)?;
        let mut responses = serde_json::Deserializer::from_str(&text).into_iter();
        Ok(responses.next().unwrap().unwrap())
    }

    /// The responses of a call that lasts until its deadline.
    pub(crate) async fn watch(&self, request: &str) -> Result<Vec<Value>, Failure> {
        let this = self.clone().with("-max-time", "1").with("-d", request);
        let output = this.run(&[&format!("{SERVICE}/WatchStatus")]).await;
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let failure = succeeded(output).expect_err("it has no end");
        if failure.code != "DeadlineExceeded" {
            return Err(failure);
        }
        let responses = serde_json::Deserializer::from_str(&text).into_iter();
        Ok(responses.map(Result::unwrap).collect())
    }
}

fn succeeded(output: Output) -> Result<String, Failure> {
    let text = String::from_utf8(output.stdout).unwrap();
    if output.status.success() {
        return Ok(text);
    }
    let text = text + &String::from_utf8(output.stderr).unwrap();
    let code = text.split_once("Code: ").map(|(_, rest)| rest);
    // Reflection reports errors in another form.
    let code = code
        .or_else(|| text.split_once("code = ").map(|(_, rest)| rest))
        .map(|rest| rest.chars().take_while(|c| c.is_alphabetic()).collect());
    Err(Failure {
        code: code.unwrap_or_default(),
        text,
    })
}

/// The field that a response must have.
fn field(rpc: &str) -> Option<&'static str> {
    match rpc {
        "Drain" => Some("/graceEndTime"),
        "GetConfig" => Some("/settings/0/key"),
        "GetImpact" => Some("/byNat/0/name"),
        "GetStats" => Some("/text"),
        "GetStatus" => Some("/recent/2/span"),
        "ListBridges" => Some("/bridges/0/relayUrl"),
        "Reload" => Some("/parts/0"),
        "ReplaceBridges" => Some("/etag"),
        "SetBridge" => Some("/bridges/0/state"),
        "SetLimits" => Some("/answerBurst"),
        "SetLogFilter" => Some("/expireTime"),
        "SetPollIntervals" => Some("/overloaded"),
        "SetSupply" => Some("/networks/0/share"),
        "SetPolicy" => Some("/rules/0/share"),
        "GetPolicy" => Some("/reserve"),
        "ExplainPolicy" => Some("/pools/0/pool"),
        "GetSourceDistribution" => Some("/polls/top/1/sourceCount"),
        "SetRelayPolicy" => Some("/allowedRelayPattern"),
        _ => None,
    }
}

/// Makes every call listed by reflection.
async fn call_everything(grpcurl: &Grpcurl) {
    let services: BTreeSet<String> = grpcurl
        .lines(&["list"])
        .await
        .unwrap()
        .into_iter()
        .collect();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        SERVICE,
    ];
    assert!(services.iter().eq(expected.iter()), "{services:?}");

    let listed = grpcurl.lines(&["list", SERVICE]).await.unwrap();
    let methods: Vec<&str> = listed
        .iter()
        .map(|method| method.rsplit_once('.').unwrap().1)
        .collect();
    let written: BTreeSet<&str> = rpcs::all().iter().map(|rpc| rpc.name).collect();
    assert!(written.iter().eq(&methods), "{methods:?}");
    for method in methods {
        let request = rpcs::request(method);
        if method == "WatchStatus" {
            let statuses = grpcurl.watch(request).await.unwrap();
            assert!(statuses.len() > 1, "{statuses:?}");
            assert!(statuses[1].pointer("/observeTime").is_some());
            continue;
        }
        let response = grpcurl.call(method, request).await.unwrap();
        let has_field = field(method).is_none_or(|field| response.pointer(field).is_some());
        assert!(has_field, "{method}: {response:#}");
    }

    let described = grpcurl.lines(&["describe", SERVICE]).await.unwrap();
    let rpc = "rpc GetStatus ( .snowflake.broker.admin.v1.GetStatusRequest ) returns ( .snowflake.broker.admin.v1.BrokerStatus );";
    assert!(
        described.iter().any(|line| line.trim() == rpc),
        "{described:#?}"
    );
    let health = grpcurl.call_of("grpc.health.v1.Health/Check", "{}").await;
    assert_eq!(health.unwrap()["status"], "SERVING");
}

#[tokio::test]
async fn every_call_by_the_unix_socket() {
    let broker = Broker::start("").await;
    call_everything(&broker.grpcurl()).await;
    let user = rustix::process::getuid().as_raw();
    let logged = format!(
        "admin: poll intervals set principal=uid {user} values=poll_interval.open = \"30s\""
    );
    broker.logs(&logged).await;
}

#[tokio::test]
async fn every_call_by_mutual_tls() {
    let remote = Remote::start("").await;
    call_everything(&remote.grpcurl("alice")).await;
    let logged = "admin: poll intervals set principal=certificate alice.example";
    remote.broker.logs(logged).await;
}

/// The other version of reflection, for older clients, is called by hand, since this
/// grpcurl knows only one.
#[tokio::test]
async fn both_versions_of_reflection_answer() {
    let broker = Broker::start("").await;
    for version in ["v1", "v1alpha"] {
        let method = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let request = r#"{"list_services": ""}"#;
        let response = broker.grpcurl().call_of(&method, request).await.unwrap();
        let services = response["listServicesResponse"]["service"]
            .as_array()
            .unwrap()
            .iter();
        assert!(services.clone().any(|service| service["name"] == SERVICE));
    }
}

#[tokio::test]
async fn the_health_of_an_unknown_service_is_not_found() {
    let broker = Broker::start("").await;
    let health = async |service: &str| {
        let request = format!("{{\"service\": \"{service}\"}}");
        let method = "grpc.health.v1.Health/Check";
        broker.grpcurl().call_of(method, &request).await
    };
    assert_eq!(health(SERVICE).await.unwrap()["status"], "SERVING");
    assert_eq!(
        health("no.such.Service").await.unwrap_err().code,
        "NotFound"
    );
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let broker = Broker::start("").await;
    let name = "x".repeat(5 << 20);
    let request = broker.setup.write(
        "request.json",
        &format!(r#"{{"bridges": [{{"display_name": "{name}"}}]}}"#),
    );
    let mut command = broker
        .grpcurl()
        .with("-d", "@")
        .command(&[&format!("{SERVICE}/ReplaceBridges")]);
    command.stdin(std::fs::File::open(request).unwrap());
    let failure = succeeded(command.output().await.unwrap()).unwrap_err();
    assert_eq!(failure.code, "OutOfRange", "{}", failure.text);
}

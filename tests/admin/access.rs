//! Authorization: the calls that each caller may make.

use std::fmt::Write as _;
use std::fs;

use rustix::process::Signal;

use crate::broker::{Broker, Setup};
use crate::certificates::Authority;
use crate::grpcurl::{Failure, Grpcurl};
use crate::rpcs::{self, Rpc};
use crate::support::port;
use crate::until;

pub(crate) const SECRETS: [&str; 2] = ["a viewer's long secret", "an operator's long secret"];

/// A broker that is administered over TCP and TLS. There are certificates for `alice`, an
/// operator, `bob`, a viewer, and some that must be refused.
pub(crate) struct Remote {
    pub(crate) broker: Broker,
    pub(crate) address: String,
}

impl Remote {
    /// Starts a broker; `tokens` are further settings of the section `admin`.
    pub(crate) async fn start(tokens: &str) -> Self {
        Self::start_at("localhost", tokens).await
    }

    /// Starts a broker at an address of this machine.
    pub(crate) async fn start_at(host: &str, tokens: &str) -> Self {
        let setup = Setup::new();
        let address = format!("{host}:{}", port::free().unwrap());
        let ours = Authority::new(&setup, "our");
        ours.issue("server", &["localhost"]);
        ours.issue("alice", &["alice.example"]);
        ours.issue("bob", &["nobody.example", "bob.example"]);
        ours.issue("carol", &["carol.example"]);
        ours.issue_expired("expired", &["alice.example"]);
        Authority::new(&setup, "other").issue("stranger", &["alice.example"]);
        let file = |name: &str| setup.path(name).to_str().unwrap().to_owned();
        setup.configure(&format!(
            "[admin]\n\
             listen = {address:?}\n\
             [admin.tls]\n\
             cert = {:?}\n\
             key = {:?}\n\
             client_ca = {:?}\n\
             operators = [\"alice.example\"]\n\
             viewers = [\"bob.example\"]\n\
             {tokens}",
            file("server.pem"),
            file("server.key"),
            file("our-ca.pem"),
        ));
        let broker = setup.start().await;
        Self { broker, address }
    }

    pub(crate) async fn with_tokens() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut tokens = String::new();
        for (role, secret) in ["viewer", "operator"].into_iter().zip(SECRETS) {
            let file = folder.join(role);
            fs::write(&file, format!("{secret}\n")).unwrap();
            let file = file.display();
            writeln!(
                tokens,
                "[[admin.tokens]]\nname = \"the {role}\"\nrole = \"{role}\"\nfile = \"{file}\""
            )
            .unwrap();
        }
        Self::start(&tokens).await
    }

    fn path(&self, name: &str) -> String {
        self.broker.setup.path(name).to_str().unwrap().to_owned()
    }

    /// Calls without credentials.
    pub(crate) fn anonymous(&self) -> Grpcurl {
        Grpcurl::new(&[], &self.address)
            .with("-cacert", &self.path("our-ca.pem"))
            .with("-servername", "localhost")
    }

    /// Calls with a certificate.
    pub(crate) fn grpcurl(&self, who: &str) -> Grpcurl {
        self.anonymous()
            .with("-cert", &self.path(&format!("{who}.pem")))
            .with("-key", &self.path(&format!("{who}.key")))
    }

    /// Checks that the handshake fails, for this reason. The caller need not receive the
    /// reason: it may find the connection closed.
    async fn is_turned_away(&self, grpcurl: &Grpcurl, reason: &str) {
        let impatient = grpcurl.clone().with("-connect-timeout", "2");
        let failure = refusal(&impatient).await;
        assert!(
            failure.text.starts_with("Failed to dial"),
            "{}",
            failure.text
        );
        until(reason, async || {
            let log = self.broker.log();
            let mut failures = log
                .lines()
                .filter(|line| line.contains("TLS handshake failed"));
            failures.any(|line| line.contains(reason))
        })
        .await;
    }

    /// Calls with a token.
    pub(crate) fn with_token(&self, secret: &str) -> Grpcurl {
        let header = format!("authorization: Bearer {secret}");
        self.anonymous().with("-H", &header)
    }
}

async fn call(grpcurl: &Grpcurl, rpc: &Rpc) -> Result<(), Failure> {
    let request = rpcs::request(rpc.name);
    if rpc.name == "WatchStatus" {
        return grpcurl.watch(request).await.map(drop);
    }
    grpcurl.call(rpc.name, request).await.map(drop)
}

async fn looks_and_changes_nothing(grpcurl: &Grpcurl) {
    for rpc in rpcs::all() {
        match call(grpcurl, &rpc).await {
            Ok(()) => assert!(!rpc.needs_operator, "{rpc:?} is allowed"),
            Err(failure) => {
                assert!(rpc.needs_operator, "{rpc:?}: {}", failure.text);
                assert_eq!(failure.code, "PermissionDenied", "{rpc:?}");
                assert!(failure.text.contains("needs the role operator"));
            }
        }
    }
}

async fn refusal(grpcurl: &Grpcurl) -> Failure {
    grpcurl
        .call("GetStatus", "{}")
        .await
        .expect_err("it is allowed")
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let remote = Remote::with_tokens().await;
    looks_and_changes_nothing(&remote.grpcurl("bob")).await;
    looks_and_changes_nothing(&remote.with_token(SECRETS[0])).await;
    assert!(
        !remote.broker.log().contains("admin: "),
        "{}",
        remote.broker.log()
    );
}

#[tokio::test]
async fn tokens_are_known_by_their_text() {
    let remote = Remote::with_tokens().await;
    let operator = remote.with_token(SECRETS[1]);
    operator
        .call("SetPollIntervals", r#"{"poll_intervals": {"open": "30s"}}"#)
        .await
        .unwrap();
    let logged = "admin: poll intervals set principal=token the operator";
    remote.broker.logs(logged).await;

    let almost = format!("{}t", SECRETS[1]);
    for secret in ["", "short", &SECRETS[1][1..], &almost] {
        let failure = refusal(&remote.with_token(secret)).await;
        assert_eq!(
            failure.code, "Unauthenticated",
            "{secret:?}: {}",
            failure.text
        );
    }
    let other_scheme = remote.anonymous().with("-H", "authorization: Basic YTpi");
    assert_eq!(refusal(&other_scheme).await.code, "Unauthenticated");
    assert!(!remote.broker.log().contains(SECRETS[0]));
}

/// Not even reflection and health are open to strangers.
#[tokio::test]
async fn who_does_not_say_who_calls_gets_nothing() {
    let remote = Remote::with_tokens().await;
    let anonymous = remote.anonymous();
    assert_eq!(refusal(&anonymous).await.code, "Unauthenticated");
    let listed = anonymous.lines(&["list"]).await.unwrap_err();
    assert_eq!(listed.code, "Unauthenticated");
    // Without reflection, grpcurl needs the protocol file.
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/admin/health.proto");
    let health = anonymous
        .with(
            "-import-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/admin"),
        )
        .with("-proto", proto);
    let health = health.call_of("grpc.health.v1.Health/Check", "{}").await;
    assert_eq!(health.unwrap_err().code, "Unauthenticated");
}

#[tokio::test]
async fn a_certificate_has_to_be_ours_and_valid_and_its_name_known() {
    let remote = Remote::start("[telemetry]\nlog_level = \"debug\"\n").await;
    for (who, reason) in [
        ("stranger", "BadSignature"),
        ("expired", "it expired at 20"),
    ] {
        remote.is_turned_away(&remote.grpcurl(who), reason).await;
    }
    remote
        .is_turned_away(&remote.anonymous(), "peer sent no certificates")
        .await;
    let carol = refusal(&remote.grpcurl("carol")).await;
    assert_eq!(carol.code, "Unauthenticated");
    assert!(carol.text.contains("no role is given"), "{}", carol.text);
    let log = remote.broker.log_of_calls();
    assert!(
        !log.contains("carol.example") && !log.contains("127.0.0.1"),
        "{log}"
    );
}

#[tokio::test]
async fn sighup_reads_certificates_and_tokens_again() {
    let remote = Remote::with_tokens().await;
    let config = fs::read_to_string(remote.path("config.toml")).unwrap();
    let file = config
        .split("file = ")
        .nth(1)
        .unwrap()
        .split('"')
        .nth(1)
        .unwrap();
    fs::write(file, "another viewer's secret").unwrap();
    let ours = Authority::new(&remote.broker.setup, "our");
    ours.issue("server", &["localhost"]);
    ours.issue("dave", &["bob.example"]);
    remote
        .broker
        .signal(Signal::HUP, "configuration reloaded")
        .await;

    assert_eq!(
        refusal(&remote.with_token(SECRETS[0])).await.code,
        "Unauthenticated"
    );
    let new = remote.with_token("another viewer's secret");
    new.call("GetStatus", "{}").await.unwrap();
    remote
        .grpcurl("dave")
        .call("GetStatus", "{}")
        .await
        .unwrap();
    assert_eq!(refusal(&remote.grpcurl("bob")).await.code, "");

    // An invalid file changes nothing.
    fs::write(file, "short").unwrap();
    let culprit = "nothing reloaded: admin.tokens: the token of \"the viewer\"";
    remote.broker.signal(Signal::HUP, culprit).await;
    new.call("GetStatus", "{}").await.unwrap();
}

#[tokio::test]
async fn the_loopback_is_trusted_unless_callers_have_to_say_who_they_are() {
    let setup = Setup::new();
    let address = format!("127.0.0.1:{}", port::free().unwrap());
    setup.configure(&format!("[admin]\nlisten = {address:?}\n"));
    let broker = setup.start().await;
    let grpcurl = Grpcurl::new(&["-plaintext"], &address);
    grpcurl
        .call("SetLogFilter", r#"{"filter": "info"}"#)
        .await
        .unwrap();
    broker.logs("principal=a local user").await;

    let token = broker.setup.write("token", SECRETS[1]);
    broker.setup.configure(&format!(
        "[admin]\nlisten = {address:?}\n\
         [[admin.tokens]]\nname = \"alice\"\nrole = \"operator\"\nfile = {token:?}\n"
    ));
    broker.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(refusal(&grpcurl).await.code, "Unauthenticated");
    let header = format!("authorization: bearer {}", SECRETS[1]);
    grpcurl
        .with("-H", &header)
        .call("GetStatus", "{}")
        .await
        .unwrap();
}

#[tokio::test]
async fn what_anybody_could_call_does_not_start() {
    let setup = Setup::new();
    let token = setup.write("token", "too short");
    let tokens =
        format!("[[admin.tokens]]\nname = \"alice\"\nrole = \"operator\"\nfile = {token:?}\n");
    for (section, culprit) in [
        ("listen = \"0.0.0.0:1\"\n".to_owned(), "admin.listen"),
        ("listen = \"[::]:1\"\n".to_owned(), "admin.listen"),
        ("listen = \"sock\"\n".to_owned(), "admin.listen"),
        (
            "listen = \"127.0.0.1:1\"\n[admin.tls]\nclient_ca = \"/ca\"\n".to_owned(),
            "admin.tls.client_ca",
        ),
        (
            "listen = \"127.0.0.1:1\"\n[admin.tls]\noperators = [\"alice\"]\n".to_owned(),
            "admin.tls.operators",
        ),
        (
            format!("listen = \"127.0.0.1:1\"\n{tokens}"),
            "at least 16 characters",
        ),
        (
            "listen = \"/nowhere/admin.sock\"\n".to_owned(),
            "admin.listen: cannot listen on /nowhere/admin.sock",
        ),
    ] {
        setup.configure(&format!("[admin]\n{section}"));
        let (code, line) = setup.failure().await;
        assert_eq!(code, 2, "{section}: {line}");
        assert!(line.contains(culprit), "{section}: {line}");
    }
}

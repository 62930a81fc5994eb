//! A broker on a port: TLS on both sides, and tokens.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::cli::broker::{Broker, operator, run, words, write};

const TOKEN: &str = "a token that nobody guesses";

/// A folder of certificates, keys and tokens, as files with these names.
fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_others(&folder, false);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    write(folder.path(), "ca.pem", &authority.pem());
    let authority = Issuer::new(params, key);
    for name in ["broker", "alice", "bob", "mallory"] {
        let params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = match name {
            "mallory" => params.self_signed(&key),
            _ => params.signed_by(&key, &authority),
        };
        let pem = certificate.unwrap().pem();
        write(folder.path(), &format!("{name}.pem"), &pem);
        write(folder.path(), &format!("{name}.key"), &key.serialize_pem());
    }
    write(folder.path(), "token", &format!("{TOKEN}\n"));
    write(folder.path(), "wrong-token", "another token of that length");
    folder
}

fn open_to_others(folder: &TempDir, is_open: bool) {
    let mode = if is_open { 0o755 } else { 0o700 };
    fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
}

async fn broker_with_certificates() -> Broker {
    let folder = secrets();
    let at = |name: &str| path(folder.path(), name);
    let lines = format!(
        "[admin.tls]\ncert = {:?}\nkey = {:?}\nclient_ca = {:?}\n\
         operators = [\"alice.example\"]\nviewers = [\"bob.example\"]",
        at("broker.pem"),
        at("broker.key"),
        at("ca.pem"),
    );
    Broker::start_at_a_port(&lines, folder).await
}

async fn broker_with_tokens(tls: bool) -> Broker {
    let folder = secrets();
    let at = |name: &str| path(folder.path(), name);
    let tokens = format!(
        "[admin]\ntokens = [{{ name = \"cron\", role = \"viewer\", file = {:?} }}]\n",
        at("token")
    );
    let (cert, key) = (at("broker.pem"), at("broker.key"));
    let certificate = format!("[admin.tls]\ncert = {cert:?}\nkey = {key:?}\n");
    let lines = if tls { tokens + &certificate } else { tokens };
    Broker::start_at_a_port(&lines, folder).await
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn trusting(folder: &Path) -> String {
    let ca = folder.join("ca.pem");
    format!("--tls-ca {} --tls-server-name broker.example", ca.display())
}

fn being(name: &str, folder: &Path) -> String {
    let [cert, key] = ["pem", "key"].map(|kind| folder.join(format!("{name}.{kind}")));
    format!("--tls-cert {} --tls-key {}", cert.display(), key.display())
}

#[tokio::test]
async fn certificates_on_both_sides() {
    let broker = broker_with_certificates().await;
    let folder = broker.folder.path();
    let (trusting, alice, bob) = (
        trusting(folder),
        being("alice", folder),
        being("bob", folder),
    );
    let changed = broker
        .ask(&format!("{trusting} {alice} interval --open 30s"))
        .await;
    assert!(changed.starts_with("open        30s\n"), "{changed}");
    let seen = broker.ask(&format!("{trusting} {bob} peers")).await;
    assert_eq!(seen, "no peers\n");
    let (code, message) = broker.refuse(&format!("{trusting} {bob} resume")).await;
    assert_eq!(
        (code, &*message),
        (1, "not allowed: this needs the role operator\n")
    );

    // With the address alone. Viewers, too, may make calls that change nothing.
    let address = format!("--address {} {trusting} {bob}", broker.listen);
    let said = run(&mut operator(words(&format!("watch --count 1 {address}")))).await;
    assert_eq!(
        (said.code, said.stdout.lines().count()),
        (0, 1),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let broker = broker_with_certificates().await;
    let folder = broker.folder.path();
    let (trusting, mallory) = (trusting(folder), being("mallory", folder));
    let alice = being("alice", folder);
    let ca = folder.join("ca.pem");
    let mallory_ca = folder.join("mallory.pem");
    for (line, said) in [
        (
            format!("{trusting} status"),
            "does the broker ask for a client certificate (--tls-cert)?",
        ),
        (
            format!("{trusting} {mallory} status"),
            "does the broker ask for a client certificate",
        ),
        // Here the broker's certificate is not trusted.
        (
            format!("--tls-server-name broker.example {alice} status"),
            "UnknownIssuer",
        ),
        (
            format!(
                "--tls-ca {} --tls-server-name broker.example {alice} status",
                mallory_ca.display()
            ),
            "certificate",
        ),
        (
            format!("--tls-ca {} {alice} status", ca.display()),
            "not valid for name",
        ),
    ] {
        let (code, message) = broker.refuse(&line).await;
        assert_eq!(code, 1, "{line}: {message}");
        assert!(message.contains(said), "{line}: {message}");
        assert!(
            message.starts_with(&format!("{} over TLS: ", broker.listen)),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[tokio::test]
async fn a_token_is_as_good_as_a_certificate() {
    let broker = broker_with_tokens(true).await;
    let folder = broker.folder.path();
    let trusting = trusting(folder);
    let token = |name: &str| format!("--token-file {}", folder.join(name).display());
    let right = token("token");
    assert_eq!(
        broker.ask(&format!("{trusting} {right} peers")).await,
        "no peers\n"
    );
    let (code, message) = broker.refuse(&format!("{trusting} {right} resume")).await;
    assert_eq!(code, 1);
    assert!(message.contains("operator"), "{message}");
    for wrong in [token("wrong-token"), String::new()] {
        let (code, message) = broker.refuse(&format!("{trusting} {wrong} status")).await;
        assert_eq!(code, 1);
        assert!(message.starts_with("not authenticated: "), "{message}");
        assert!(!message.contains(TOKEN), "{message}");
    }
}

#[tokio::test]
async fn on_this_machine_a_token_may_go_in_the_clear() {
    let broker = broker_with_tokens(false).await;
    let token = format!(
        "--token-file {}",
        broker.folder.path().join("token").display()
    );
    assert_eq!(broker.ask(&format!("{token} peers")).await, "no peers\n");
}

/// The first bytes that the program would send to another machine, simulated by a name
/// that it cannot recognize as local.
async fn first_bytes(more: &str) -> Vec<u8> {
    let folder = secrets();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = folder.path().join("token");
    let line = format!(
        "status --address 0.0.0.0:{port} --timeout 5s --token-file {} {more}",
        token.display()
    );
    let mut command = operator(words(&line));
    let asking = tokio::spawn(async move { run(&mut command).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = vec![0; 3];
    stream.read_exact(&mut seen).await.unwrap();
    drop(stream);
    drop(listener);
    assert_eq!(asking.await.unwrap().code, 1);
    seen
}

#[tokio::test]
async fn to_another_machine_it_goes_over_tls_unless_told_otherwise() {
    const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];
    assert_eq!(first_bytes("").await[..2], TLS_HANDSHAKE);
    assert_eq!(first_bytes("--insecure").await, b"PRI");
}

#[tokio::test]
async fn secrets_that_others_can_read_are_warnings() {
    let broker = broker_with_certificates().await;
    open_to_others(&broker.folder, true);
    let mode = |file: &str, mode| {
        let file = broker.folder.path().join(file);
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    };
    let status = format!(
        "--tls-ca {} --tls-server-name broker.example --tls-cert {} --tls-key {} status",
        broker.path("ca.pem"),
        broker.path("alice.pem"),
        broker.path("alice.key"),
    );
    mode("alice.key", 0o644);
    let said = run(&mut broker.operator(words(&status))).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    let warning = format!(
        "warning: --tls-key: {}: other users of this machine can read it (fix: chmod o-r)\n",
        broker.path("alice.key")
    );
    assert_eq!(said.stderr, warning);
    mode("alice.key", 0o640);
    broker.ask(&status).await;
}

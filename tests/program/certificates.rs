//! Certificates from files that are replaced while the broker serves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::support::messages::proxy_answer;
use crate::support::peer::Peer;
use crate::support::tls_client;
use crate::{FOREVER, Program, command};

const NAME: &str = "broker.example";
/// Several times the interval of checks.
const SEVERAL_LOOKS: Duration = Duration::from_millis(500);

type Pair = CertifiedKey<KeyPair>;

/// Two certificates, and the files with the one to serve.
pub(crate) struct Files {
    folder: TempDir,
    pairs: [Pair; 2],
}

impl Files {
    /// Begins with the first one in the files.
    pub(crate) fn new() -> Self {
        let pair = |()| rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            pairs: [(), ()].map(pair),
        };
        files.write_cert(0);
        files.write_key(0);
        files
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn write_cert(&self, pair: usize) {
        replace(&self.cert(), &self.pairs[pair].cert.pem());
    }

    fn write_key(&self, pair: usize) {
        replace(&self.key(), &self.pairs[pair].signing_key.serialize_pem());
    }

    pub(crate) async fn start(&self, watch_interval: &str) -> Program {
        Program::start_with(|addr| {
            let mut command = command(addr, &["-disable-geoip"]);
            command
                .arg("-cert")
                .arg(self.cert())
                .arg("-key")
                .arg(self.key())
                .env("SNOWFLAKE_BROKER_TLS__WATCH_INTERVAL", watch_interval);
            command
        })
        .await
    }

    /// The index of the served certificate.
    async fn served(&self, program: &Program) -> usize {
        self.connect(program).await.1
    }

    /// A connection, and the index of the certificate that is served on it.
    async fn connect(&self, program: &Program) -> (Peer, usize) {
        let trusted: Vec<&CertificateDer<'static>> =
            self.pairs.iter().map(|pair| pair.cert.der()).collect();
        let config = tls_client::trusting(trusted.iter().copied());
        let stream = tls_client::connect(config, program.addr, NAME)
            .await
            .unwrap();
        let served = tls_client::served(&stream);
        let which = trusted.iter().position(|one| **one == served).unwrap();
        (Peer::http1_over(stream).await, which)
    }

    async fn until_served(&self, program: &Program, which: usize) {
        let waited = timeout(FOREVER, async {
            while self.served(program).await != which {
                sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("the other certificate stays");
    }
}

/// Replaces a file atomically, as tools do.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}

async fn expect_reply(peer: &mut Peer) {
    let (status, reply) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    assert_eq!(status, 200);
    assert_eq!(reply, json!({"Status": "client gone"}).to_string());
}

fn count(program: &Program, line: &str) -> usize {
    program.log().matches(line).count()
}

#[tokio::test]
async fn sighup_serves_a_new_certificate_and_connections_go_on() {
    let files = Files::new();
    let program = files.start("0").await;
    let (mut before, which) = files.connect(&program).await;
    assert_eq!(which, 0);
    expect_reply(&mut before).await;
    files.write_cert(1);
    files.write_key(1);
    sleep(SEVERAL_LOOKS).await;
    assert_eq!(files.served(&program).await, 0, "nobody was told to look");

    program.signal(Signal::HUP, "configuration reloaded").await;
    let (mut after, which) = files.connect(&program).await;
    assert_eq!(which, 1);
    expect_reply(&mut after).await;
    expect_reply(&mut before).await;
}

#[tokio::test]
async fn sighup_with_a_broken_pair_changes_nothing_and_names_it() {
    let files = Files::new();
    let program = files.start("0").await;
    files.write_key(1);
    let key = files.key();
    let culprit = format!(
        "nothing reloaded: tls.key: {}: is not the key",
        key.display()
    );
    program.signal(Signal::HUP, &culprit).await;
    assert_eq!(files.served(&program).await, 0);

    fs::write(files.cert(), "rubbish").unwrap();
    let cert = files.cert();
    let culprit = format!("nothing reloaded: tls.cert: {}: has no", cert.display());
    program.signal(Signal::HUP, &culprit).await;
    assert_eq!(files.served(&program).await, 0);

    files.write_cert(1);
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(files.served(&program).await, 1);
}

#[tokio::test]
async fn sighup_serves_other_files_and_they_are_watched() {
    let files = Files::new();
    let others = Files::new();
    let config = files.folder.path().join("config.toml");
    let name = |files: &Files| {
        let (cert, key) = (files.cert(), files.key());
        let text = format!("[tls]\ncert = {cert:?}\nkey = {key:?}\nwatch_interval = \"50ms\"\n");
        fs::write(&config, text).unwrap();
    };
    name(&files);
    let program = Program::start(&["-config", config.to_str().unwrap()]).await;
    assert_eq!(files.served(&program).await, 0);
    name(&others);
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(others.served(&program).await, 0);
    assert_eq!(count(&program, "wait for a restart"), 0);

    others.write_cert(1);
    others.write_key(1);
    others.until_served(&program, 1).await;
}

#[tokio::test]
async fn files_that_change_are_served_without_a_signal() {
    let files = Files::new();
    let program = files.start("300ms").await;
    let (mut before, _) = files.connect(&program).await;
    files.write_cert(1);
    files.write_key(1);
    files.until_served(&program, 1).await;
    expect_reply(&mut before).await;
    assert_eq!(count(&program, "serving a new certificate"), 1);
    assert_eq!(count(&program, "ERROR"), 0, "{}", program.log());
}

/// The way in which Kubernetes mounts secrets.
#[tokio::test]
async fn a_link_that_is_swapped_is_served() {
    let files = Files::new();
    let folder = files.folder.path();
    for (number, pair) in files.pairs.iter().enumerate() {
        let version = folder.join(number.to_string());
        fs::create_dir(&version).unwrap();
        fs::write(version.join("cert.pem"), pair.cert.pem()).unwrap();
        fs::write(version.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    }
    symlink("0", folder.join("data")).unwrap();
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(folder.join(name)).unwrap();
        symlink(format!("data/{name}"), folder.join(name)).unwrap();
    }
    let program = files.start("50ms").await;
    assert_eq!(files.served(&program).await, 0);
    symlink("1", folder.join("data.new")).unwrap();
    fs::rename(folder.join("data.new"), folder.join("data")).unwrap();
    files.until_served(&program, 1).await;
}

#[tokio::test]
async fn broken_files_keep_the_certificate_and_are_told_of_once() {
    let files = Files::new();
    let program = files.start("50ms").await;
    let told = "keeping the previous certificate: tls.";
    files.write_cert(1);
    let culprit = format!("{told}key: {}: is not the key", files.key().display());
    until(|| count(&program, &culprit) == 1).await;
    sleep(SEVERAL_LOOKS).await;
    assert_eq!(files.served(&program).await, 0);
    fs::remove_file(files.cert()).unwrap();
    until(|| count(&program, &format!("{told}cert: {}", files.cert().display())) == 1).await;
    sleep(SEVERAL_LOOKS).await;
    assert_eq!(count(&program, told), 2, "{}", program.log());
    assert_eq!(files.served(&program).await, 0);

    files.write_cert(1);
    files.write_key(1);
    files.until_served(&program, 1).await;
}

async fn until(is_so: impl Fn() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it never became so");
}

/// A certificate that is valid only in these years, and its key.
fn pair_of(from: i32, until: i32) -> (String, String) {
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    (cert.pem(), key.serialize_pem())
}

fn write_pair(files: &Files, (cert, key): (String, String)) {
    replace(&files.key(), &key);
    replace(&files.cert(), &cert);
}

#[tokio::test]
async fn a_certificate_that_has_expired_replaces_no_good_one_at_sighup() {
    let files = Files::new();
    let program = files.start("0").await;
    let cert = files.cert();
    for (pair, fault) in [
        (pair_of(2000, 2001), "expired on 2001-01-01T00:00:00Z"),
        (
            pair_of(2500, 2501),
            "is not valid before 2500-01-01T00:00:00Z",
        ),
    ] {
        write_pair(&files, pair);
        let kept = "keeping the previous certificate: tls.cert";
        let told = format!("{kept}: {}: {fault}", cert.display());
        program.signal(Signal::HUP, &told).await;
        assert_eq!(files.served(&program).await, 0);
    }
    // An unchanged certificate is not listed as reloaded.
    until(|| count(&program, "configuration reloaded") == 2).await;
    let log = program.log();
    let reloaded = "configuration reloaded, nothing has changed";
    assert_eq!(log.matches(reloaded).count(), 2, "{log}");
    files.write_key(1);
    files.write_cert(1);
    program.send(Signal::HUP);
    files.until_served(&program, 1).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_replaces_no_good_one_in_watched_files() {
    let files = Files::new();
    let program = files.start("50ms").await;
    write_pair(&files, pair_of(2000, 2001));
    let told = "keeping the previous certificate: tls.cert";
    until(|| count(&program, told) == 1).await;
    sleep(SEVERAL_LOOKS).await;
    assert_eq!(count(&program, told), 1, "{}", program.log());
    assert_eq!(files.served(&program).await, 0);
    files.write_key(1);
    files.write_cert(1);
    files.until_served(&program, 1).await;
}

/// Any certificate is better than none, and a valid one is better than an expired one.
#[tokio::test]
async fn a_certificate_that_has_expired_is_served_until_there_is_a_better_one() {
    let files = Files::new();
    write_pair(&files, pair_of(2000, 2001));
    let program = files.start("50ms").await;
    let told = format!("tls.cert: {}: expired on 2001", files.cert().display());
    assert_eq!(count(&program, &told), 1, "{}", program.log());
    files.write_key(0);
    files.write_cert(0);
    until(|| count(&program, "serving a new certificate") == 1).await;
    assert_eq!(files.served(&program).await, 0);
}

/// `cat` joins files without a final line break.
#[tokio::test]
async fn a_joined_chain_is_served_whole() {
    let files = Files::new();
    let joined = files
        .pairs
        .each_ref()
        .map(|pair| pair.cert.pem())
        .map(|pem| pem.trim_end().to_owned())
        .concat();
    replace(&files.cert(), &joined);
    let program = files.start("0").await;
    let config = tls_client::trusting([files.pairs[0].cert.der()]);
    let stream = tls_client::connect(config, program.addr, NAME)
        .await
        .unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let expected = files.pairs.each_ref().map(|pair| pair.cert.der().clone());
    assert_eq!(chain, expected);
}

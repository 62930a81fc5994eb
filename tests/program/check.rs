//! `check-config` accepts a configuration exactly if the broker starts with it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use snowflake_broker::config::{Config, Inputs, load};
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::time::timeout;

use crate::FOREVER;

/// A configuration with every key that names a file, directory, socket or URL, all valid.
const WITH_FILES: &str = r#"
[listener]
addr = "127.0.0.1:0"
[tls]
cert = "c.pem"
key = "k.pem"
[geoip]
disable = true
[broker]
bridge_list_path = "bridges"
[operator]
listen = "127.0.0.1:0"
[admin]
listen = ["FOLDER/admin.sock", "127.0.0.1:0"]
tokens = [{ name = "a", role = "viewer", file = "token" }]
[admin.tls]
cert = "c.pem"
key = "k.pem"
client_ca = "c.pem"
operators = ["a.example"]
[federation]
listen = "127.0.0.1:0"
peers = [{ name = "b.example", url = "https://127.0.0.1:1" }]
[federation.tls]
cert = "c.pem"
key = "k.pem"
ca = "c.pem"
[metrics]
metrics_log = "metrics.log"
impact_log = "impact.jsonl"
state_directory = "state"
ip_count_prefix = "count-"
"#;
/// The same for a broker with a certificate by ACME and one method of proof.
const WITH_ACME: &str = r#"
[listener]
addr = "127.0.0.1:0"
[geoip]
disable = true
[operator]
listen = "off"
[admin]
listen = "off"
[acme]
hostnames = ["a.example"]
directory = "https://127.0.0.1:1/directory"
ca_file = "c.pem"
cert_cache = "cache"
tls_alpn = false
http_addr = "127.0.0.1:0"
"#;

const PATHS: [&str; 7] = [
    "nowhere/at/all",
    "/dev/null/below",
    "folder",
    "empty",
    "rubbish",
    "private",
    "new",
];
/// A low port, an address of another machine, and other addresses, some of them valid.
const ADDRESSES: [&str; 9] = [
    ":1",
    "127.0.0.1:1",
    "192.0.2.1:7000",
    "[2001:db8::1]:7000",
    "[::ffff:192.0.2.1]:7000",
    ":0",
    "localhost:0",
    "https://127.0.0.1:1/x",
    "http://127.0.0.1:1",
];
/// Keys for which some value above prevents a start.
const KNOWN: [&str; 16] = [
    "acme.ca_file",
    "acme.cert_cache",
    "acme.http_addr",
    "admin.listen",
    "admin.tls.cert",
    "admin.tls.client_ca",
    "admin.tls.key",
    "admin.tokens",
    "broker.bridge_list_path",
    "federation.listen",
    "federation.tls.ca",
    "federation.tls.cert",
    "federation.tls.key",
    "listener.addr",
    "operator.listen",
    "tls.cert",
];

/// A configuration in a folder with the files that it names.
struct Setup {
    folder: TempDir,
    inputs: Inputs,
}

impl Setup {
    fn new(base: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        write("c.pem", &pair.cert.pem());
        write("k.pem", &pair.signing_key.serialize_pem());
        write("token", "a token that nobody guesses\n");
        write("empty", "");
        write("rubbish", "rubbish \u{7}\n");
        write("private", "nobody reads it\n");
        let nobody = Permissions::from_mode(0o0);
        fs::set_permissions(folder.path().join("private"), nobody).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        write(
            "bridges",
            "{\"webSocketAddress\":\"wss://snowflake.torproject.net/\",\
             \"fingerprint\":\"2B280B23E1107BB62ABFC40DDCC8824814F80A72\"}\n",
        );
        let base = base.replace("FOLDER", folder.path().to_str().unwrap());
        write("config.toml", &base);
        let inputs = Inputs {
            files: vec![folder.path().join("config.toml")],
            default_file: "/nonexistent".into(),
            environment: Vec::new(),
            flags: Vec::new(),
            named_files_are_elsewhere: true,
        };
        Self { folder, inputs }
    }

    /// The variable that sets a key to this text, possibly in a table of a list.
    fn variable(key: &str, text: &str) -> (String, String) {
        let name = key.to_uppercase().replace('.', "__");
        let value = match key {
            "admin.tokens" => format!("[{{ name = \"a\", role = \"viewer\", file = {text:?} }}]"),
            "federation.peers" => format!("[{{ name = \"b.example\", url = {text:?} }}]"),
            _ => text.to_owned(),
        };
        (format!("SNOWFLAKE_BROKER_{name}"), value)
    }

    /// Returns true if the keys on their own are valid.
    fn is_loaded(&self, key: &str, text: &str) -> bool {
        let (name, value) = Self::variable(key, text);
        let mut inputs = self.inputs.clone();
        inputs.environment = vec![(OsString::from(name), OsString::from(value))];
        load(&inputs).is_ok()
    }

    /// The texts to try for a key: addresses and URLs only if a path is invalid.
    fn texts(&self, key: &str) -> Vec<&'static str> {
        let texts: Vec<_> = PATHS.into_iter().chain(ADDRESSES).collect();
        let are_loaded = |texts: &[&str]| texts.iter().all(|text| self.is_loaded(key, text));
        if are_loaded(&texts) {
            return PATHS.to_vec();
        }
        let loaded = texts.into_iter().filter(|text| self.is_loaded(key, text));
        loaded.collect()
    }

    /// The program without any privileges, and with this variable.
    fn program(&self, key: &str, text: &str) -> Command {
        let (name, value) = Self::variable(key, text);
        let mut program = Command::new("unshare");
        program
            .args(["--user", "--", env!("CARGO_BIN_EXE_snowflake-broker")])
            .args(["--config", "config.toml"])
            .current_dir(self.folder.path())
            .env(name, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        program
    }

    async fn check(&self, key: &str, text: &str) -> Output {
        let output = self.program(key, text).arg("check-config").output();
        let output = timeout(FOREVER, output).await;
        output.expect("the check does not end").unwrap()
    }

    /// `None` if it serves, or else its output.
    async fn start(&self, key: &str, text: &str) -> Option<Output> {
        let path = self.folder.path().join("notify");
        let notified = UnixDatagram::bind(&path).unwrap();
        let mut program = self.program(key, text);
        let child = program.env("NOTIFY_SOCKET", &path).spawn().unwrap();
        let mut ready = [0; 64];
        let outcome = timeout(FOREVER, async {
            tokio::select! {
                received = notified.recv(&mut ready) => {
                    received.unwrap();
                    None
                }
                ended = child.wait_with_output() => Some(ended.unwrap()),
            }
        })
        .await
        .expect("it neither serves nor ends");
        fs::remove_file(&path).unwrap();
        outcome
    }
}

/// Tries every key with every text, and returns the refused keys.
async fn refused_keys(base: &str) -> BTreeSet<String> {
    let mut refused = BTreeSet::new();
    for (key, _) in Config::default().flatten() {
        // Files created by a start must not exist for the next key.
        let setup = Setup::new(base);
        for text in setup.texts(&key) {
            let checked = setup.check(&key, text).await;
            let started = setup.start(&key, text).await;
            let said = String::from_utf8_lossy(&checked.stderr);
            match (checked.status.success(), started) {
                (true, None) => {}
                (false, Some(_)) => drop(refused.insert(key.clone())),
                (true, Some(Output { stderr, .. })) => {
                    let why = String::from_utf8_lossy(&stderr);
                    panic!("{key} = {text}: the check says ok, the start {why}\n{said}")
                }
                (false, None) => panic!("{key} = {text}: it starts, the check says {said}"),
            }
        }
    }
    refused
}

/// The known keys that were never refused, although they should have been.
fn never_refused(wanted: impl Fn(&str) -> bool, refused: &BTreeSet<String>) -> Vec<&str> {
    let known = KNOWN.into_iter().filter(|key| wanted(key));
    known.filter(|key| !refused.contains(*key)).collect()
}

#[tokio::test]
async fn what_the_check_passes_starts() {
    let refused = refused_keys(WITH_FILES).await;
    let missing = never_refused(|key| !key.starts_with("acme."), &refused);
    assert!(missing.is_empty(), "never refused: {missing:?}");
}

#[tokio::test]
async fn what_the_check_passes_starts_with_acme() {
    let refused = refused_keys(WITH_ACME).await;
    let missing = never_refused(|key| key.starts_with("acme."), &refused);
    assert!(missing.is_empty(), "never refused: {missing:?}");
}

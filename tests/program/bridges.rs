//! Probes of bridges that can be reached, and then cannot.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use futures_util::FutureExt as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::{TcpListener, lookup_host};
use tokio::process::Command;
use tokio::time::timeout;

use crate::reload::relay_url;
use crate::support::certificates::Authority;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{libraries, namespace, port, unpacked};
use crate::{FOREVER, Program, command, free_address};

const FINGERPRINT: &str = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";

/// Bridges, with what a broker needs to know of them.
struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        Self { folder, authority }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the bridge list.
    fn list(&self, addresses: &[(&str, &str)]) {
        let lines = addresses.iter().map(|(name, url)| {
            let line = json!({
                "displayName": name, "webSocketAddress": url, "fingerprint": FINGERPRINT,
                "weight": 1,
            });
            format!("{line}\n")
        });
        fs::write(self.path("bridges.jsonl"), lines.collect::<String>()).unwrap();
    }

    /// Writes the configuration with these keys in the section `bridges`.
    fn configure(&self, keys: &str) {
        let folder = self.folder.path().display();
        let config = format!(
            "[broker]\nbridge_list_path = \"{folder}/bridges.jsonl\"\nallowed_relay_pattern = \"\"\n\
             [geoip]\ndisable = true\n[listener]\nmax_connections = 1000\n\
             [bridges]\nprobe_interval = \"1s\"\n{keys}"
        );
        fs::write(self.path("config.toml"), config).unwrap();
    }

    async fn start(&self) -> Program {
        let (config, authorities) = (self.path("config.toml"), &self.authority.file);
        Program::start_with(|addr| {
            let mut command = command(addr, &["-config", config.to_str().unwrap()]);
            command.env("SSL_CERT_FILE", authorities);
            command
        })
        .await
    }
}

/// nginx with TLS in front of a bridge, as operators have it.
fn nginx(folder: &Path, listen: u16, bridge: &str) -> Process {
    let scratch = folder.display();
    let bridge = bridge.replace("ws://", "http://");
    let config = format!(
        "user root; daemon off; master_process off; pid {scratch}/nginx.pid;
         error_log stderr;
         events {{}}
         http {{
             access_log off;
             client_body_temp_path {scratch}/body;
             proxy_temp_path {scratch}/proxy;
             fastcgi_temp_path {scratch}/fastcgi;
             uwsgi_temp_path {scratch}/uwsgi;
             scgi_temp_path {scratch}/scgi;
             server {{
                 listen 127.0.0.1:{listen} ssl;
                 ssl_certificate {scratch}/bridge.pem;
                 ssl_certificate_key {scratch}/bridge.key;
                 location /ws {{
                     proxy_pass {bridge};
                     proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                 }}
                 location / {{ return 301 https://elsewhere.example$request_uri; }}
             }}
         }}"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(unpacked::file("usr/sbin/nginx"));
    command
        .env(
            "LD_LIBRARY_PATH",
            std::env::join_paths(libraries::folders()).unwrap(),
        )
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(file);
    Process::start(&mut command, folder.join("nginx.log")).unwrap()
}

/// Waits until a series has this value.
async fn until_metric(program: &Program, series: &str, value: usize) {
    let line = format!("snowflake_broker_bridge_{series} {value}");
    let waited = timeout(FOREVER, async {
        while !program.metrics().await.lines().any(|it| it == line) {}
    });
    let log = program.log();
    waited
        .await
        .unwrap_or_else(|_| panic!("never {line}\n{log}"));
}

/// Waits until a line is logged for this time.
async fn until_logged(program: &Program, line: &str, times: usize) {
    let waited = timeout(FOREVER, async {
        while program.log().matches(line).count() < times {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let log = program.log();
    waited.await.unwrap_or_else(|_| panic!("{line}\n{log}"));
    assert_eq!(program.log().matches(line).count(), times);
}

/// The addresses that the proxies of a few clients are sent to.
async fn relay_urls(program: &Program) -> BTreeSet<String> {
    let mut urls = BTreeSet::new();
    for _ in 0..12 {
        urls.insert(relay_url(program).await);
    }
    urls
}

fn set(urls: &[&str]) -> BTreeSet<String> {
    urls.iter().map(|url| (*url).to_owned()).collect()
}

/// The whole life of an address that dies and comes back, and of the last one.
#[tokio::test]
async fn an_address_that_dies_is_taken_out_and_comes_back() {
    let scene = Scene::new();
    let relay = Relay::listen().await.unwrap();
    scene
        .authority
        .certify(scene.folder.path(), "bridge", "localhost", 2100);
    let front = port::free().unwrap();
    let one = format!("wss://localhost:{front}/ws");
    let other = relay.url();
    scene.list(&[("first", &one), ("second", &other)]);
    scene.configure("probe = true\nact_on_probe = true\n");
    let web_server = nginx(scene.folder.path(), front, &other);
    let program = scene.start().await;
    until_metric(&program, "addresses{state=\"up\",health=\"well\"}", 2).await;
    assert_eq!(relay_urls(&program).await, set(&[&one, &other]));

    drop(web_server);
    let dead = "proxies may not reach a bridge: no TCP connection";
    until_logged(&program, dead, 1).await;
    until_metric(&program, "addresses{state=\"up\",health=\"ailing\"}", 1).await;
    assert_eq!(relay_urls(&program).await, set(&[&other]));

    let _web_server = nginx(scene.folder.path(), front, &other);
    until_logged(&program, "a bridge can be reached again", 1).await;
    assert_eq!(relay_urls(&program).await, set(&[&one, &other]));

    // Both fail now: clients are still sent to either.
    scene.list(&[
        ("first", &one.replace("/ws", "/")),
        ("second", "ws://127.0.0.1:9/"),
    ]);
    program.signal(Signal::HUP, "configuration reloaded").await;
    until_metric(&program, "addresses{state=\"up\",health=\"ailing\"}", 2).await;
    let redirects = "bridge=\"first (address 2 of 2)\"";
    let log = program.log();
    assert!(log.contains("it redirects (status 301)"), "{log}");
    assert!(log.contains(redirects), "{log}");
    assert_eq!(relay_urls(&program).await.len(), 2);
    for secret in ["ws://", "wss://", "localhost:", "9/"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }

    // Without probes nobody is ailing.
    scene.configure("probe = false\nact_on_probe = true\n");
    program.send(Signal::HUP);
    until_metric(&program, "addresses{state=\"up\",health=\"unknown\"}", 2).await;
}

/// A certificate of an authority that this machine does not know, and a bridge that
/// accepts connections and says nothing.
#[tokio::test]
async fn warnings_say_what_is_wrong() {
    let scene = Scene::new();
    let relay = Relay::listen().await.unwrap();
    let stranger = Authority::new(scene.folder.path(), "stranger");
    stranger.certify(scene.folder.path(), "bridge", "localhost", 2100);
    let front = port::free().unwrap();
    let _web_server = nginx(scene.folder.path(), front, &relay.url());
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent_url = format!("ws://{}/", silent.local_addr().unwrap());
    scene.list(&[
        ("a", &format!("wss://localhost:{front}/ws")),
        ("b", &silent_url),
    ]);
    scene.configure("probe = true\n");
    let program = scene.start().await;
    for problem in ["its certificate is not valid", "it took too long"] {
        let line = format!("proxies may not reach a bridge: {problem}");
        until_logged(&program, &line, 1).await;
    }
    // It only warns.
    assert_eq!(relay_urls(&program).await.len(), 2);
    until_metric(&program, "addresses{state=\"up\",health=\"ailing\"}", 2).await;
}

/// As in a small container.
#[tokio::test]
async fn without_authorities_nothing_can_be_probed() {
    let scene = Scene::new();
    scene.list(&[("a", "wss://a.example/")]);
    scene.configure("probe = true\n");
    let config = scene.path("config.toml");
    let arguments = ["-config", config.to_str().unwrap(), "check-config"];
    let mut check = command(free_address(), &arguments);
    check
        .env("SNOWFLAKE_BROKER_TLS__DISABLE", "true")
        .env("SSL_CERT_FILE", "/nowhere/ca.pem")
        .env("SSL_CERT_DIR", "/nowhere");
    let output = check.output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{told}");
    let culprit = "bridges.probe: must have certificate authorities, and this machine has none";
    assert!(told.contains(culprit), "{told}");
    assert!(!told.contains("Error {"), "{told}");
}

/// A bridge was taken for ailing if its name had an address of IPv6 to which packets got lost.
#[tokio::test]
async fn a_bridge_that_is_reached_by_one_family_is_well() {
    if !namespace::entered() {
        let name = "bridges::a_bridge_that_is_reached_by_one_family_is_well";
        return namespace::run_inside(name).await.unwrap();
    }
    namespace::connect().await.unwrap();
    let [reached, _] = namespace::ADDRESSES;
    let lost = "2001:db8::2";
    for step in [
        "address add 2001:db8::1/64 dev near nodad",
        // Nobody has this address, but the packets leave as if somebody had.
        &format!("neighbor add {lost} lladdr 02:00:00:00:00:02 dev near nud permanent"),
    ] {
        namespace::ip(step).await.unwrap();
    }
    let scene = Scene::new();
    let hosts = format!("{lost} bridge.example\n{reached} bridge.example\n");
    fs::write(scene.path("hosts"), hosts).unwrap();
    let mount = Command::new("mount")
        .arg("--bind")
        .arg(scene.path("hosts"))
        .arg("/etc/hosts")
        .status();
    assert!(mount.await.unwrap().success());
    let first = lookup_host(("bridge.example", 1)).await.unwrap().next();
    assert!(first.unwrap().is_ipv6());

    let relay = Relay::listen_on(reached.parse().unwrap()).await.unwrap();
    scene.list(&[("a", &relay.url().replace(reached, "bridge.example"))]);
    scene.configure("probe = true\n");
    let program = scene.start().await;
    until_metric(&program, "addresses{state=\"up\",health=\"well\"}", 1).await;
    assert!(!program.log().contains("proxies may not reach"));
}

#[tokio::test]
async fn no_probe_is_made_unless_it_is_asked_for() {
    let scene = Scene::new();
    let bridge = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    scene.list(&[("a", &format!("ws://{}/", bridge.local_addr().unwrap()))]);
    scene.configure("");
    let program = scene.start().await;
    // The first probe would be at the start, and the metrics come a second later.
    until_metric(&program, "addresses{state=\"up\",health=\"unknown\"}", 1).await;
    assert!(bridge.accept().now_or_never().is_none());

    scene.configure("probe = true\n");
    program.send(Signal::HUP);
    let accepted = timeout(FOREVER, bridge.accept()).await;
    accepted.expect("it is not probed").unwrap();
}

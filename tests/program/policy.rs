//! Rules of the policy in the running program, with requests over sockets from addresses in
//! countries and networks.

use std::fs;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::messages::{client_poll, proxy_poll};
use crate::{Program, command, exchange};

const FIRST: &str = "5.9.0.1";
const SECOND: &str = "5.9.1.1";
const CLIENT: &str = "5.1.0.1";

/// The files of a broker. 5.1.0.0/16 is in Russia, and 5.9.0.0/16 in Germany.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("geoip", "83951616,84017151,RU\n84475904,84541439,DE\n");
        files.write("geoip6", "2a01::,2a01::ffff,RU\n");
        files
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn configure(&self, rules: &str) {
        let trust = "[http]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
        self.write("config.toml", &format!("{trust}{rules}"));
    }

    /// A rule by which proxies in a listed network come last for clients in a country.
    fn last(&self, country: &str) {
        self.configure(&format!(
            "[policy]\nreserve = 0\n[[policy.rules]]\nname = \"listed\"\naction = \"last\"\n\
             client = {{ countries = [\"{country}\"] }}\n\
             proxy = {{ networks = \"{}\" }}\n",
            self.path("networks")
        ));
    }

    async fn start(&self) -> Program {
        let flags = [
            format!("--geoipdb={}", self.path("geoip")),
            format!("--geoip6db={}", self.path("geoip6")),
            format!("--config={}", self.path("config.toml")),
        ];
        let flags = flags.each_ref().map(String::as_str);
        let program = Program::start_with(|addr| command(addr, &flags)).await;
        program.until_logged("country databases loaded").await;
        program
    }
}

fn post(program: &Program, from: &str, path: &str, body: &str) -> JoinHandle<String> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {from}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let addr = program.addr;
    tokio::spawn(async move { exchange(addr, request.as_bytes()).await })
}

/// Parks a poll.
async fn park(program: &Program, from: &str, sid: &str) -> JoinHandle<String> {
    let before = parked(program).await;
    let poll = post(program, from, "/proxy", &proxy_poll(sid, "unrestricted"));
    while parked(program).await == before {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    poll
}

async fn parked(program: &Program) -> String {
    let page = program.operator("/debug").await;
    page.rsplit("\r\n\r\n").next().unwrap().to_owned()
}

/// Which of two polls gets a client of 5.1.0.1: one of 5.9.0.1 that came first, or one of
/// 5.9.1.1.
async fn first_is_served(program: &Program, round: &str) -> bool {
    let first = park(program, FIRST, &format!("{round} first")).await;
    let second = park(program, SECOND, &format!("{round} second")).await;
    let poll = client_poll("x", "restricted");
    let _client = post(program, CLIENT, "/client", &poll);
    let served = tokio::select! {
        reply = first => (reply.unwrap(), true),
        reply = second => (reply.unwrap(), false),
    };
    assert!(served.0.contains("client match"), "{}", served.0);
    served.1
}

#[tokio::test]
async fn a_rule_decides_by_country_and_network_and_sighup_changes_it() {
    let files = Files::new();
    files.write("networks", "5.9.0.0/24 # listed\n");
    files.last("RU");
    let program = files.start().await;
    assert!(!first_is_served(&program, "last for Russia").await);
    let page = program.metrics().await;
    let hit = "snowflake_broker_policy_matches_total{rule=\"listed\",result=\"hit\"} 1";
    assert!(page.contains(hit), "{page}");

    files.last("IR");
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert!(first_is_served(&program, "last for Iran").await);
}

#[tokio::test]
async fn a_file_of_networks_is_read_again_and_a_bad_line_changes_nothing() {
    let files = Files::new();
    files.write("networks", "5.9.0.0/24\n");
    files.last("RU");
    let program = files.start().await;
    files.write("networks", "5.9.1.0/24\nexample\n");
    let culprit = format!(
        "nothing reloaded: policy.rules.listed.networks: {}: line 2: must be a network",
        files.path("networks")
    );
    program.signal(Signal::HUP, &culprit).await;
    assert!(!first_is_served(&program, "before").await);
    files.write("networks", "5.9.1.0/24\n");
    let changed = "the file of policy.rules (listed)";
    program.signal(Signal::HUP, changed).await;
    assert!(first_is_served(&program, "after").await);
}

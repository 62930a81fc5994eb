//! The country databases: at the start, and on reload.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Child;

use crate::reload::relay_url;
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::slow_file;
use crate::{Program, command};

/// The databases, which a test may change.
pub(crate) struct Databases {
    folder: TempDir,
}

impl Databases {
    /// Databases in which 5.1.0.0/16 and `2a01::/32` are in this country.
    pub(crate) fn new(country: &str) -> Self {
        let databases = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        databases.write(country);
        databases
    }

    fn write(&self, country: &str) {
        let ipv4 = format!("# a comment\n83951616,84017151,{country}\n");
        fs::write(self.ipv4(), ipv4).unwrap();
        let ipv6 = format!("2a01::,2a01:0:ffff:ffff:ffff:ffff:ffff:ffff,{country}\n");
        fs::write(self.folder.path().join("geoip6"), ipv6).unwrap();
    }

    /// Blocks readers of the IPv4 database until the child is dropped.
    pub(crate) async fn make_ipv4_wait(&self) -> Child {
        slow_file::make_wait(&self.ipv4()).await
    }

    fn ipv4(&self) -> PathBuf {
        self.folder.path().join("geoip")
    }

    /// Starts a broker, and waits until it has read the databases.
    pub(crate) async fn start(&self) -> Program {
        let program = self.start_to_read().await;
        program.until_logged("country databases loaded").await;
        program
    }

    async fn start_to_read(&self) -> Program {
        let folder = self.folder.path().display();
        let flags = [
            format!("-geoipdb={folder}/geoip"),
            format!("-geoip6db={folder}/geoip6"),
        ];
        Program::start_with(|addr| command(addr, &flags.each_ref().map(String::as_str))).await
    }
}

/// Polls as a proxy from this address, and returns true if it was counted in this
/// country, which had no count before.
async fn is_counted_in(program: &Program, country: &str, address: &str) -> bool {
    let line = format!("cc=\"{country}\"");
    let is_there = async || {
        let page = program.metrics().await;
        let mut lines = page.lines();
        lines.any(|l| l.starts_with("snowflake_proxy_total") && l.contains(&line))
    };
    assert!(!is_there().await, "{country}");
    // Its `Sid` is already waiting, so that the poll is counted and returns at once.
    let forwarded = format!("X-Forwarded-For: {address}\r\n");
    let poll = proxy_poll("waiting", "open");
    program.request("POST /proxy", &forwarded, &poll).await;
    is_there().await
}

#[tokio::test]
async fn the_start_waits_for_no_database() {
    let databases = Databases::new("FR");
    let _holder = databases.make_ipv4_wait().await;
    let program = databases.start_to_read().await;
    assert_eq!(relay_url(&program).await, "wss://snowflake.torproject.net/");
    assert_eq!(in_use(&program).await, 0);
    // Nor does a stop.
    program.signal(Signal::TERM, "stopping").await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(!log.contains("databases are read"), "{log}");
}

/// As thousands of proxies do after a restart.
#[tokio::test]
async fn who_comes_before_the_databases_are_read_is_counted_in_its_country() {
    let databases = Databases::new("FR");
    let holder = databases.make_ipv4_wait().await;
    let program = databases.start_to_read().await;
    let from_france = "X-Forwarded-For: 5.1.0.1\r\n";
    let poll = client_poll("x", "open");
    program.request("POST /client", from_france, &poll).await;
    let poll = proxy_poll("waiting", "open");
    let _waiting = program.start_post("/proxy", poll.clone()).await;
    program.request("POST /proxy", from_france, &poll).await;
    assert_eq!(counted(&program, "snowflake_proxy_total", "FR").await, 0);
    assert_eq!(in_use(&program).await, 0);

    drop(holder);
    program.until_logged("country databases loaded").await;
    assert_eq!(in_use(&program).await, 2);
    assert_eq!(counted(&program, "snowflake_proxy_total", "FR").await, 1);
    let clients = "snowflake_rounded_client_poll_total";
    assert_eq!(counted(&program, clients, "FR").await, 8);
    assert_eq!(counted(&program, clients, "??").await, 0);
}

/// The count of this family in a country.
async fn counted(program: &Program, family: &str, country: &str) -> u64 {
    let label = format!("cc=\"{country}\"");
    let page = program.metrics().await;
    let lines = page
        .lines()
        .filter(|line| line.starts_with(family) && line.contains(&label));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[tokio::test]
async fn a_database_that_is_damaged_at_the_start_leaves_its_countries_unknown() {
    let databases = Databases::new("FR");
    fs::write(databases.ipv4(), "# cut off\n83951616,84").unwrap();
    let program = databases.start().await;
    let log = program.log();
    let culprit = format!("geoip.geoipdb: {}: line 2", databases.ipv4().display());
    assert!(log.contains(&culprit), "{log}");
    assert_eq!(in_use(&program).await, 1);
    let _waiting = program
        .start_post("/proxy", proxy_poll("waiting", "open"))
        .await;
    assert!(!is_counted_in(&program, "FR", "5.1.0.1").await);
    assert!(is_counted_in(&program, "FR", "2a01::1").await);
    databases.write("DE");
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(in_use(&program).await, 2);
    assert!(is_counted_in(&program, "DE", "5.1.0.2").await);
}

async fn in_use(program: &Program) -> u64 {
    let metrics = program.metrics().await;
    let name = "\nsnowflake_broker_country_databases ";
    let (_, rest) = metrics.split_once(name).unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn sighup_reads_the_databases_again() {
    let databases = Databases::new("FR");
    let program = databases.start().await;
    let _waiting = program
        .start_post("/proxy", proxy_poll("waiting", "open"))
        .await;
    assert!(is_counted_in(&program, "FR", "5.1.0.1").await);
    databases.write("DE");
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert!(is_counted_in(&program, "DE", "5.1.0.2").await);
}

#[tokio::test]
async fn a_bad_database_changes_nothing_and_is_named() {
    let databases = Databases::new("FR");
    let program = databases.start().await;
    let _waiting = program
        .start_post("/proxy", proxy_poll("waiting", "open"))
        .await;
    // The other file is valid and was read before; it changes nothing either.
    databases.write("DE");
    let bad = databases.folder.path().join("geoip6");
    fs::write(&bad, "# cut off\n2a01::,2a").unwrap();
    let culprit = format!(
        "nothing reloaded: geoip.geoip6db: {}: line 2",
        bad.display()
    );
    program.signal(Signal::HUP, &culprit).await;
    assert!(is_counted_in(&program, "FR", "5.1.0.1").await);
}

/// This once made all countries unknown.
#[tokio::test]
async fn a_database_that_is_gone_changes_nothing_and_is_named() {
    let databases = Databases::new("FR");
    let program = databases.start().await;
    let _waiting = program
        .start_post("/proxy", proxy_poll("waiting", "open"))
        .await;
    fs::remove_file(databases.ipv4()).unwrap();
    let culprit = format!(
        "nothing reloaded: geoip.geoipdb: {}: no such file",
        databases.ipv4().display()
    );
    program.signal(Signal::HUP, &culprit).await;
    assert!(is_counted_in(&program, "FR", "5.1.0.1").await);
}

//! nginx and `HAProxy`, as shipped by Debian, in front of the broker: the senders that
//! they name, and the broker's conclusions.
//!
//! Each test has its own network, in which the clients have public addresses.

mod broker;
mod capture;
mod client;
mod programs;

use std::fs;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use broker::{Broker, Tls};
use client::{ask, ask_over_tls, is_closed};
use programs::{Programs, TcpHeader};

use crate::support::wait::LONG_ENOUGH;
use crate::support::{namespace, wait};

/// The address of the reverse proxy.
const FRONT: &str = "5.9.0.1:8080";
/// The broker's address for the reverse proxy.
const BROKER: &str = "127.0.0.1:8081";
/// The broker's address for strangers, bypassing the reverse proxy.
const BACK_DOOR: &str = "5.9.0.1:8081";
const ONE: &str = "5.1.0.1";
const OTHER: &str = "5.2.0.1";
/// The senders that a stranger claims.
const LIES: &str = "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n";

/// Runs a test in its own network.
async fn in_a_network(name: &str, test: impl Future<Output = Result<()>>) {
    let ran = async {
        if !namespace::entered() {
            return namespace::run_inside(&format!("proxies::{name}")).await;
        }
        namespace::connect().await?;
        for address in ["5.9.0.1", ONE, OTHER] {
            namespace::ip(&format!("address add {address}/32 dev lo")).await?;
        }
        test.await
    };
    if let Err(error) = ran.await {
        panic!("{error:?}");
    }
}

/// Every client has one poll, whatever it claims.
async fn each_client_counts_as_itself() -> Result<()> {
    for client in [ONE, OTHER] {
        ensure!(ask(client, FRONT, "").await?, "{client} was not served");
        for headers in [
            "",
            LIES,
            "X-Forwarded-For: unknown\r\n",
            "Forwarded: for=8.8.4.4\r\n",
        ] {
            ensure!(!ask(client, FRONT, headers).await?, "{client} {headers:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn clients_behind_nginx_count_as_themselves() {
    in_a_network("clients_behind_nginx_count_as_themselves", async {
        let scratch = TempDir::new()?;
        let programs = Programs {
            scratch: scratch.path(),
        };
        let _nginx = programs.nginx().await?;

        // nginx appends to the first header, in its line, and passes on the others.
        let head = capture::head(ask(ONE, FRONT, LIES)).await?;
        capture::expect(&head, "x-forwarded-for", &["9.9.9.9, 5.1.0.1"])?;
        capture::expect(&head, "forwarded", &["for=9.9.9.9"])?;
        capture::expect(&head, "x-real-ip", &["9.9.9.9"])?;

        let _broker = Broker::start(scratch.path(), Tls::Off, "").await?;
        each_client_counts_as_itself().await
    })
    .await;
}

#[tokio::test]
async fn clients_behind_haproxy_count_as_themselves() {
    in_a_network("clients_behind_haproxy_count_as_themselves", async {
        let scratch = TempDir::new()?;
        let programs = Programs {
            scratch: scratch.path(),
        };
        let _haproxy = programs.haproxy_for_http().await?;

        // HAProxy adds its own line at the end, and passes on the others.
        let head = capture::head(ask(ONE, FRONT, LIES)).await?;
        capture::expect(&head, "x-forwarded-for", &["9.9.9.9", "5.1.0.1"])?;
        capture::expect(&head, "forwarded", &["for=9.9.9.9"])?;
        capture::expect(&head, "x-real-ip", &["9.9.9.9"])?;

        let _broker = Broker::start(scratch.path(), Tls::Off, "").await?;
        each_client_counts_as_itself().await
    })
    .await;
}

const PROXY_PROTOCOL: &str = "[listener]\naddr = \":8081\"\nproxy_protocol = true\n";

#[tokio::test]
async fn clients_behind_a_tcp_load_balancer_count_as_themselves() {
    in_a_network(
        "clients_behind_a_tcp_load_balancer_count_as_themselves",
        async {
            let scratch = TempDir::new()?;
            let programs = Programs {
                scratch: scratch.path(),
            };
            let haproxy = programs.haproxy_for_tcp(TcpHeader::Version1).await?;
            let expected = b"PROXY TCP4 5.1.0.1 5.9.0.1 ";
            capture::expect_beginning(expected, ask(ONE, FRONT, LIES)).await?;
            let broker = Broker::start(scratch.path(), Tls::Off, PROXY_PROTOCOL).await?;
            each_client_counts_as_itself().await?;
            drop((haproxy, broker));

            let haproxy = programs.haproxy_for_tcp(TcpHeader::Version2).await?;
            let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x05\x01\0\x01\x05\x09\0\x01";
            capture::expect_beginning(expected, ask(ONE, FRONT, LIES)).await?;
            let broker = Broker::start(scratch.path(), Tls::Off, PROXY_PROTOCOL).await?;
            each_client_counts_as_itself().await?;
            drop(broker);

            // The header comes before TLS.
            let broker = Broker::start(scratch.path(), Tls::On, PROXY_PROTOCOL).await?;
            for client in [ONE, OTHER] {
                ensure!(
                    ask_over_tls(client, FRONT, "", &broker).await?,
                    "{client} was not served"
                );
                ensure!(
                    !ask_over_tls(client, FRONT, LIES, &broker).await?,
                    "{client}"
                );
            }
            drop(haproxy);
            Ok(())
        },
    )
    .await;
}

#[tokio::test]
async fn only_load_balancers_of_ours_say_whose_a_connection_is() {
    in_a_network(
        "only_load_balancers_of_ours_say_whose_a_connection_is",
        async {
            let scratch = TempDir::new()?;
            let broker = Broker::start(scratch.path(), Tls::Off, PROXY_PROTOCOL).await?;
            for beginning in [
                "POST /client HTTP/1.1\r\n\r\n",
                "PROXY TCP4 8.8.8.8 5.9.0.1 1 2\r\nPOST /client HTTP/1.1\r\n\r\n",
            ] {
                ensure!(is_closed(ONE, BACK_DOOR, beginning).await?, "{beginning:?}");
            }
            // Nor may our own load balancer omit it.
            ensure!(is_closed("127.0.0.1", BROKER, "POST /client HTTP/1.1\r\n\r\n").await?);
            ensure!(is_closed("127.0.0.1", BROKER, "PROXY TCP4 8.8.8.8 unknown\r\n").await?);
            let told = "it has no PROXY header of one of http.trusted_proxies";
            let log = log_with(&broker, told, 4).await?;
            // One more may come from waiting for the broker to listen.
            ensure!((4..=5).contains(&log.matches(told).count()), "{log}");
            ensure!(!log.contains("5.1.0.1"), "{log}");
            Ok(())
        },
    )
    .await;
}

/// The log, once it has this message the given number of times: a separate thread writes
/// it, possibly after the connection has closed.
async fn log_with(broker: &Broker, told: &str, times: usize) -> Result<String> {
    timeout(LONG_ENOUGH, async {
        loop {
            let log = broker.log()?;
            if log.matches(told).count() >= times {
                return Ok(log);
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .with_context(|| format!("the log does not say {told:?} {times} times"))?
}

/// No reverse proxy is configured: a peer that claims to be one has ten quotas in total,
/// and the log says once what to do if it is one.
#[tokio::test]
async fn whoever_claims_others_has_ten_quotas_and_is_told_of_once() {
    in_a_network(
        "whoever_claims_others_has_ten_quotas_and_is_told_of_once",
        async {
            let scratch = TempDir::new()?;
            let broker = Broker::start_knowing_nobody(scratch.path()).await?;
            let mut admitted = 0;
            for number in 0..50 {
                let claim = format!("X-Forwarded-For: 6.{number}.0.1\r\n");
                admitted += usize::from(ask(ONE, BACK_DOOR, &claim).await?);
                admitted += usize::from(ask(ONE, BACK_DOOR, "").await?);
            }
            ensure!(admitted == 10, "{admitted}");
            // The claimed address does not pay.
            ensure!(ask(OTHER, BACK_DOOR, "X-Forwarded-For: 6.0.0.1\r\n").await?);
            let log = broker.log()?;
            let told = log.matches("name its networks in http.trusted_proxies");
            ensure!(told.count() == 1, "{log}");
            ensure!(!log.contains(ONE) && !log.contains("6.0.0.1"), "{log}");
            Ok(())
        },
    )
    .await;
}

/// A load balancer checks on its own behalf whether the broker is alive.
#[tokio::test]
async fn a_load_balancer_finds_the_broker_alive() {
    in_a_network("a_load_balancer_finds_the_broker_alive", async {
        let scratch = TempDir::new()?;
        let programs = Programs {
            scratch: scratch.path(),
        };
        for (version, expected) in [
            (TcpHeader::Version1, &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
            (TcpHeader::Version2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        ] {
            let mut haproxy = programs.haproxy_that_checks(version)?;
            capture::expect_beginning(expected, async { Ok(()) }).await?;
            let is_down = async || Ok(haproxy.log()?.contains("is DOWN").then_some(()));
            wait::until("HAProxy to miss the broker", is_down).await?;
            let _broker = Broker::start(scratch.path(), Tls::Off, PROXY_PROTOCOL).await?;
            let is_up = async || Ok(haproxy.log()?.contains("is UP").then_some(()));
            wait::until("HAProxy to find the broker", is_up).await?;
            drop(haproxy);
            fs::remove_file(scratch.path().join("haproxy.log"))?;
        }
        Ok(())
    })
    .await;
}

//! `docs/reverse-proxy.md`: each of its configurations, as it stands, in the program that
//! it is for, in front of a broker that is configured as the page says.
//!
//! Each test has a network of its own, in which clients have public addresses, and
//! an `/etc` of its own.

mod front;
mod machine;
mod page;
mod visitor;

use anyhow::{Context as _, Result, bail, ensure};

use crate::support::{namespace, wait};

use front::Front;
use machine::Machine;
use visitor::{Departure, Visitor};

const ONE: &str = "5.1.0.1";
const OTHER: &str = "5.2.0.1";
/// Headers by which a stranger claims to forward for somebody else.
const LIES: &str = "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n";

/// A client may poll once.
const ONE_POLL: &str = "[limits]\nclient_polls_per_minute = 1\nclient_poll_burst = 1\n";
/// Polls wait for as long as a test may take.
const PATIENT: &str = "[matching]\nproxy_timeout = \"10m\"\nclient_timeout = \"2s\"\nmax_attempts = 1\nclient_queue_wait = \"0s\"\n";

/// Runs a test on a machine of its own.
async fn on_a_machine(name: &str, test: impl AsyncFnOnce(Machine) -> Result<()>) {
    let ran = async {
        if !namespace::entered() {
            return namespace::run_inside(&format!("reverse_proxies::{name}")).await;
        }
        namespace::connect().await?;
        for address in [machine::PUBLIC, ONE, OTHER] {
            namespace::ip(&format!("address add {address}/32 dev lo")).await?;
        }
        test(Machine::new().await?).await
    };
    if let Err(error) = ran.await {
        panic!("{error:?}");
    }
}

#[tokio::test]
async fn nginx_serves_as_configured() {
    on_a_machine("nginx_serves_as_configured", async |machine| {
        serves(&machine, Front::Nginx).await
    })
    .await;
}

#[tokio::test]
async fn haproxy_serves_as_configured() {
    on_a_machine("haproxy_serves_as_configured", async |machine| {
        serves(&machine, Front::Haproxy).await
    })
    .await;
}

#[tokio::test]
async fn caddy_serves_as_configured() {
    on_a_machine("caddy_serves_as_configured", async |machine| {
        serves(&machine, Front::Caddy).await
    })
    .await;
}

#[tokio::test]
async fn haproxy_forwards_bytes_as_configured() {
    on_a_machine("haproxy_forwards_bytes_as_configured", async |machine| {
        let config = page::snippet("haproxy-tcp")?;
        let _front = machine.front(Front::Haproxy, &config).await?;
        let settings = page::snippet("proxy-protocol")?;
        let _broker = machine
            .broker(&settings, ONE_POLL, "127.0.0.1:8443")
            .await?;
        each_client_counts_as_itself(&machine.visitor(Front::Haproxy).await?).await
    })
    .await;
}

/// It forwards what it should and nothing else, for the right sender.
async fn serves(machine: &Machine, front: Front) -> Result<()> {
    let _front = machine.front(front, &front.config()?).await?;
    let settings = page::settings()?;
    let _broker = machine.broker(&settings, ONE_POLL, machine::BROKER).await?;
    let visitor = machine.visitor(front).await?;
    each_client_counts_as_itself(&visitor).await?;

    for (request, status) in [
        ("GET /robots.txt", 200),
        ("OPTIONS /proxy", 200),
        ("GET /", 404),
        ("GET /debug", 404),
        ("GET /metrics", 404),
        ("GET /prometheus", 404),
    ] {
        let reply = visitor.request(ONE, request, "", "").await?;
        ensure!(reply.status == status, "{request}: {reply:?}");
    }
    let options = visitor.request(ONE, "OPTIONS /proxy", "", "").await?;
    let allowed = "access-control-allow-origin: *";
    ensure!(options.head.to_lowercase().contains(allowed), "{options:?}");

    let largest = "0".repeat(100_000);
    let reply = visitor.request(ONE, "POST /proxy", "", &largest).await?;
    ensure!(reply.status == 400, "{reply:?}");
    let by_amp = format!("GET /amp/client/0/{}", "A".repeat(60_000));
    let reply = visitor.request(ONE, &by_amp, "", "").await?;
    ensure!(
        reply.status == 200 && reply.body.contains("<pre>"),
        "{reply:?}"
    );
    Ok(())
}

/// Every client has one poll, whatever it says about itself.
async fn each_client_counts_as_itself(visitor: &Visitor) -> Result<()> {
    for client in [ONE, OTHER] {
        ensure!(visitor.ask(client, "").await?, "{client} was not served");
        for headers in ["", LIES, "X-Forwarded-For: unknown\r\n"] {
            ensure!(!visitor.ask(client, headers).await?, "{client} {headers:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_waiting_proxy_leaves_as_the_table_says() {
    on_a_machine(
        "a_waiting_proxy_leaves_as_the_table_says",
        async |machine| {
            let settings = page::settings()?;
            let _broker = machine.broker(&settings, PATIENT, machine::BROKER).await?;
            let rows = page::table("leaving")?;
            ensure!(rows.len() == 4, "{rows:?}");
            for row in rows {
                leaves_as_the_row_says(&machine, &row)
                    .await
                    .with_context(|| format!("{row:?}"))?;
            }
            Ok(())
        },
    )
    .await;
}

async fn leaves_as_the_row_says(machine: &Machine, row: &[String]) -> Result<()> {
    let [program, to_the_broker, closed, reset] = row else {
        bail!("not four cells");
    };
    let (front, config) = configured(program)?;
    let mut configs = vec![config.clone()];
    if to_the_broker == "HTTP/1.1 or HTTP/2" {
        configs.push(front.over_http2(&config)?);
    }
    for config in configs {
        let _front = machine.front(front, &config).await?;
        let visitor = machine.visitor(front).await?;
        for departure in Departure::ALL {
            let expected = match departure {
                Departure::StreamReset => reset,
                _ => closed,
            };
            let leaving = leaves(&visitor, departure, expected).await;
            leaving.with_context(|| format!("{departure:?}\n{config}"))?;
        }
    }
    Ok(())
}

/// The program in a row of the table, configured as the row says.
fn configured(program: &str) -> Result<(Front, String)> {
    let (front, without) = match program.split(' ').next() {
        Some("nginx") => (Front::Nginx, None),
        Some("HAProxy") if program.ends_with("`option abortonclose`") => (Front::Haproxy, None),
        Some("HAProxy") => (Front::Haproxy, Some("    option abortonclose\n")),
        Some("Caddy") => (Front::Caddy, None),
        _ => bail!("{program}"),
    };
    let config = front.config()?;
    let Some(line) = without else {
        return Ok((front, config));
    };
    ensure!(config.contains(line), "{config}");
    Ok((front, config.replace(line, "")))
}

/// A proxy polls and leaves. The broker learns of it at once, or gives the proxy to a
/// client.
async fn leaves(visitor: &Visitor, departure: Departure, expected: &str) -> Result<()> {
    let left = visitor.poll_and_leave(ONE, departure).await?;
    match expected {
        "tells the broker at once" => {
            let is_gone = async || Ok((visitor::parked_polls().await? == 0).then_some(()));
            wait::until("the poll to be gone", is_gone).await?;
        }
        "**does not tell the broker**" => {
            let reply = visitor::client_poll().await?;
            ensure!(reply.contains("timed out waiting for answer"), "{reply}");
        }
        _ => bail!("what does it mean? {expected}"),
    }
    drop(left);
    Ok(())
}

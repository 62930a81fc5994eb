//! Waiting until the programs are ready.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::TcpStream;

use crate::support::http;
use crate::support::process::Process;
use crate::support::wait::until;

/// Waits until `program` accepts connections.
pub(crate) async fn listens(program: &mut Process, address: &str) -> Result<()> {
    until(&format!("somebody listens on {address}"), async || {
        program.log()?;
        Ok(TcpStream::connect(address).await.ok().map(drop))
    })
    .await
}

/// Waits until a poll of the proxy is parked; the proxy first examines its network.
pub(crate) async fn polls(proxy: &mut Process, broker: SocketAddr) -> Result<()> {
    until("the proxy polls the broker", async || {
        proxy.log()?;
        let waiting = http::get(broker, "/debug")
            .await?
            .contains("standalone proxies: 1");
        Ok(waiting.then_some(()))
    })
    .await
}

/// Waits until the client reports its SOCKS port to its parent.
pub(crate) async fn socks_address(client: &mut Process) -> Result<String> {
    until("the client opens its SOCKS port", async || {
        Ok(socks_port(&client.log()?))
    })
    .await
}

/// The address that the client has reported, if it has.
pub(crate) fn socks_port(log: &str) -> Option<String> {
    let mut lines = log.lines();
    let address = lines.find_map(|line| line.strip_prefix("CMETHOD snowflake socks5 "));
    address.map(str::to_owned)
}

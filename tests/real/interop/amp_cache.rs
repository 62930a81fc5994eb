//! A cache of AMP pages, through which a client may reach the broker.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::http;

/// The broker's URL for the cache: clients refuse an address with a port here.
const BROKER_URL: &str = "http://broker.example/";

/// The path of the broker's pages in the cache.
const BROKER_PATH: &str = "/c/broker.example";

/// Starts a cache in front of `broker`, and returns the client's flags for using it.
pub(crate) async fn open(broker: SocketAddr) -> Result<Vec<String>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    // The client requests the cache's pages from the front, so no name needs resolving.
    let front = listener.local_addr()?.to_string();
    tokio::spawn(serve(listener, broker));

    let flags = [
        "-url",
        BROKER_URL,
        "-ampcache",
        "http://cache.example/",
        "-front",
        &front,
    ];
    Ok(flags.map(str::to_owned).to_vec())
}

async fn serve(listener: TcpListener, broker: SocketAddr) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(pass_on(connection, broker));
    }
}

/// Forwards one request to the broker, and its response back.
async fn pass_on(mut connection: TcpStream, broker: SocketAddr) -> Result<()> {
    let mut lines = BufReader::new(&mut connection).lines();
    let request = lines.next_line().await?.context("no request")?;
    while lines
        .next_line()
        .await?
        .is_some_and(|header| !header.is_empty())
    {}

    let path = request
        .split(' ')
        .nth(1)
        .context("no path")?
        .strip_prefix(BROKER_PATH)
        .context("another site")?;
    let response = http::get(broker, path).await?;
    connection.write_all(response.as_bytes()).await?;
    Ok(())
}

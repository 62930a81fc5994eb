//! A listener in place of the broker.

use std::future::Future;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::proxies::BROKER;
use crate::support::wait;
use crate::support::wait::LONG_ENOUGH;

/// The head of the request that arrives while `done` runs.
pub(crate) async fn head<T>(done: impl Future<Output = Result<T>>) -> Result<String> {
    let begun = capture(done, |begun| begun.windows(4).any(|end| end == b"\r\n\r\n")).await?;
    Ok(String::from_utf8(begun)?)
}

/// Waits for a connection that begins with these bytes.
pub(crate) async fn expect_beginning<T>(
    expected: &[u8],
    done: impl Future<Output = Result<T>>,
) -> Result<()> {
    let captured = capture(done, |begun| begun.starts_with(expected)).await;
    captured.with_context(|| expected.escape_ascii().to_string())?;
    Ok(())
}

/// The first bytes, once they are enough. An earlier connection may come from a check of
/// whether the reverse proxy listens.
async fn capture<T>(
    done: impl Future<Output = Result<T>>,
    is_enough: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>> {
    let listener = listen().await?;
    let captured = async {
        loop {
            let (mut stream, _) = listener.accept().await?;
            let mut begun = Vec::new();
            while !is_enough(&begun) && stream.read_buf(&mut begun).await.unwrap_or(0) > 0 {}
            if !is_enough(&begun) {
                continue;
            }
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            // A mere check for a listener has already left.
            stream.write_all(reply).await.ok();
            return Ok(begun);
        }
    };
    let both = async { tokio::join!(captured, done) };
    let (captured, _) = timeout(LONG_ENOUGH, both).await.context("nothing comes")?;
    captured
}

/// Listens in the broker's place, once a killed broker is gone.
pub(crate) async fn listen() -> Result<TcpListener> {
    let attempt = async || Ok(TcpListener::bind(BROKER).await.ok());
    wait::until("the broker's place to be free", attempt).await
}

/// Checks that a head has exactly these lines of a header, in this order.
pub(crate) fn expect(head: &str, name: &str, values: &[&str]) -> Result<()> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let found: Vec<&str> = lines
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect();
    ensure!(found == values, "{name}: {found:?} in\n{head}");
    Ok(())
}

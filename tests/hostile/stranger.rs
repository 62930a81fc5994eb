//! The stranger's end of a connection.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::ATTACK;
use crate::network::{self, STRANGER};

pub(crate) use crate::support::closing::read_to_end;

/// Connects from the stranger's address and sends these bytes.
pub(crate) async fn connect(bytes: &[u8]) -> TcpStream {
    let mut stream = network::connect(STRANGER).await.unwrap();
    // The connection may already be closed.
    stream.write_all(bytes).await.ok();
    stream
}

/// Repeats `once` on several connections at a time, for the length of an attack. `once`
/// returns the amount that it did.
pub(crate) async fn over_and_over<F>(at_once: usize, once: fn() -> F) -> usize
where
    F: Future<Output = usize> + Send + 'static,
{
    let mut attackers = JoinSet::new();
    for _ in 0..at_once {
        attackers.spawn(async move {
            let mut done = 0;
            let attack = async {
                loop {
                    done += once().await;
                }
            };
            timeout(ATTACK, attack).await.unwrap_err();
            done
        });
    }
    attackers.join_all().await.into_iter().sum()
}

/// Sends the bytes repeatedly until the broker closes or nothing moves for a while.
/// Returns the number of times that they were sent.
pub(crate) async fn flood(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
) -> usize {
    let mut sent = 0;
    while let Ok(Ok(())) = timeout(Duration::from_secs(1), stream.write_all(bytes)).await {
        sent += 1;
    }
    sent
}

/// Sends a byte now and then until the broker gives up. Returns its reply.
pub(crate) async fn trickle(begin: &[u8], more: &[u8]) -> String {
    let (mut reader, mut writer) = connect(begin).await.into_split();
    let trickle = async {
        for byte in more.iter().cycle() {
            sleep(Duration::from_millis(200)).await;
            // After the broker has closed, its reply may still be on the way.
            writer.write_all(&[*byte]).await.ok();
        }
    };
    tokio::select! {
        () = trickle => unreachable!("the trickle never ends"),
        reply = read_to_end(&mut reader) => reply,
    }
}

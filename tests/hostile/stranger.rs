//! The stranger's end of a connection.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

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

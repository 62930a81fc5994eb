//! Connections as the attack itself.

use std::io::ErrorKind;
use std::net::IpAddr;

use tokio::net::TcpStream;

use crate::broker::{Broker, Setup};
use crate::network::{STRANGER, connect, stranger_v6};
use crate::report::Row;
use crate::stranger::over_and_over;

/// Maximum number of connections open from one address here.
const SHARE: usize = 1_000;

/// Connections opened and reset as fast as possible.
pub(crate) async fn short() -> Row {
    let broker = Setup::new().start().await;
    let attack = async |_: &_| {
        let opened = over_and_over(50, open_and_reset).await;
        assert!(opened > 1_000, "{opened}");
        format!("{opened} connections opened and reset")
    };
    broker.withstands(attack).await
}

async fn open_and_reset() -> usize {
    let Ok(stream) = connect(STRANGER).await else {
        return 0;
    };
    stream.set_zero_linger().unwrap();
    1
}

/// Connections opened and never closed.
pub(crate) async fn held() -> Row {
    let attack = async |broker: &Broker| hold(broker, SHARE, |_| STRANGER.into()).await;
    sharing().start().await.withstands(attack).await
}

/// Connections from all addresses of a /64, which belong to a single user.
pub(crate) async fn held_from_one_64() -> Row {
    let attack = async |broker: &Broker| hold(broker, SHARE, stranger_v6).await;
    sharing().start().await.withstands(attack).await
}

/// Fewer descriptors than the connections that an address may have. An address gets an
/// eighth of those that remain after 512 are reserved.
pub(crate) async fn few_descriptors() -> Row {
    let setup = sharing().under(&["prlimit", "--nofile=1400:1400", "--"]);
    let share = (1_400 - 512) / 8;
    let attack = async |broker: &Broker| hold(broker, share, |_| STRANGER.into()).await;
    setup.start().await.withstands(attack).await
}

fn sharing() -> Setup {
    Setup::new().with("listener.max_connections_per_peer", SHARE.to_string())
}

/// Tries to hold far more connections than the share.
async fn hold(broker: &Broker, share: usize, from: impl Fn(u16) -> IpAddr) -> String {
    let mut held = Vec::new();
    for number in 0..u16::try_from(3 * SHARE).unwrap() {
        held.push(connect(from(number)).await.unwrap());
    }
    crate::until("the connections beyond the share are closed", async || {
        let dropped = [("reason", "connections_per_peer")];
        let dropped = broker.count("connections_dropped_total", &dropped).await;
        usize::try_from(dropped).unwrap() == 3 * SHARE - share
    })
    .await;
    tokio::time::sleep(crate::ATTACK).await;
    let open = held.iter().filter(|stream| is_open(stream)).count();
    assert_eq!(open, share);
    format!("{open} of {} connections held", 3 * SHARE)
}

/// Returns true if the other side has not closed the connection.
fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

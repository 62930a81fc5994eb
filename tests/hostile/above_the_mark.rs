//! More small requests than there is memory for.

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::ATTACK;
use crate::broker::{Broker, Setup};
use crate::frames::{GOAWAY, HEADERS, hello, post, read};
use crate::network::connect;
use crate::network::{STRANGER, stranger_v6};
use crate::report::Row;
use crate::until;

/// The smallest mark that is valid with the other defaults.
const MARK: usize = 16_000_000;

/// 12,000 requests of 2 KiB at once, from two networks.
const CONNECTIONS: u16 = 120;
const STREAMS: u32 = 100;

/// Sends polls whose bodies never arrive, on the maximum number of streams, and replaces
/// each one that is refused.
pub(crate) async fn requests() -> Row {
    let setup = Setup::new().with("listener.memory_high_water", MARK.to_string());
    let attack = async |broker: &Broker| {
        let mut strangers = JoinSet::new();
        for number in 0..CONNECTIONS {
            strangers.spawn(timeout(ATTACK, ask(number)));
        }
        let refused = async || broker.count("revocations_total", &[]).await;
        until("some had to make room", async || refused().await > 0).await;
        strangers.join_all().await;
        let refused = refused().await;
        let asked = u32::from(CONNECTIONS) * STREAMS;
        format!(
            "{refused} of {asked} requests and those after them had to make room (a mark of 16 MB)"
        )
    };
    setup.start().await.withstands(attack).await
}

async fn ask(number: u16) {
    let begin: Vec<u8> = (0..STREAMS)
        .flat_map(|stream| post(2 * stream + 1, "/client"))
        .collect();
    let from = [STRANGER.into(), stranger_v6(number)][usize::from(number % 2)];
    let mut next = 2 * STREAMS + 1;
    loop {
        // There may be no free slot.
        let Ok(stream) = connect(from).await else {
            continue;
        };
        let (mut reader, mut writer) = stream.into_split();
        writer
            .write_all(&[hello(), begin.clone()].concat())
            .await
            .ok();
        while let Ok(frame) = read(&mut reader).await {
            if frame.kind == GOAWAY {
                break;
            }
            if frame.kind == HEADERS {
                // A debug build must not be kept busy by refusals alone.
                sleep(ATTACK / 30).await;
                writer.write_all(&post(next, "/client")).await.ok();
                next += 2;
            }
        }
        sleep(ATTACK / 10).await;
        next = 2 * STREAMS + 1;
    }
}

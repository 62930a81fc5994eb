//! Header blocks that are short on the wire and large in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::ATTACK;
use crate::broker::Setup;
use crate::frames::{END_HEADERS, HEADERS, RST_STREAM, block, frame, hello, read, request};
use crate::report::Row;
use crate::stranger::connect;

const CONNECTIONS: u32 = 4;
const STREAMS: u32 = 400;
const FIELDS: usize = 1_900;

/// Maximum time until the last block is refused. An accepted one waits 10 s for a body.
const REFUSED: Duration = Duration::from_secs(3);

/// A field is sent once and then referenced with one byte each time (RFC 7541 section
/// 6.1). Such a header block takes a hundred times its bytes in memory.
pub(crate) async fn indexed_fields() -> Row {
    let attack = async |_: &_| {
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(send_heads());
        }
        let refused: u32 = connections.join_all().await.into_iter().sum();
        let sent = CONNECTIONS * STREAMS;
        assert_eq!(refused, sent, "refused");
        format!("{refused} of {sent} heads with {FIELDS} fields refused")
    };
    Setup::new().start().await.withstands(attack).await
}

/// Returns the number of a connection's header blocks that were refused rather than left
/// waiting for their bodies.
async fn send_heads() -> u32 {
    /// Adds the field `x` without a value to the table, at index 0x3e.
    const ADD: &[u8] = &[0x40, 1, b'x', 0];
    const NAME: u8 = 0x80 | 0x3e;
    let target = block(&request("POST", "/client"));
    let first = [&target[..], ADD, &[NAME; FIELDS - 1]].concat();
    let again = [&target[..], &[NAME; FIELDS]].concat();

    let begin = [hello(), frame(HEADERS, END_HEADERS, 1, &first)].concat();
    let (mut reader, mut writer) = connect(&begin).await.into_split();
    let send = async {
        for number in 1..STREAMS {
            // A debug build must not be kept busy by reading alone.
            sleep(ATTACK / STREAMS).await;
            let more = frame(HEADERS, END_HEADERS, 2 * number + 1, &again);
            writer.write_all(&more).await.ok();
        }
        writer
    };
    let mut refused = BTreeSet::new();
    let see = async {
        while u32::try_from(refused.len()).unwrap() < STREAMS {
            let Ok(frame) = read(&mut reader).await else {
                // The connection has ended, and all streams with it.
                refused.extend((1..2 * STREAMS).step_by(2));
                return;
            };
            if [HEADERS, RST_STREAM].contains(&frame.kind) {
                refused.insert(frame.stream);
            }
        }
    };
    let see = timeout(ATTACK + REFUSED, see);
    let (_writer, _) = tokio::join!(send, see);
    u32::try_from(refused.len()).unwrap()
}

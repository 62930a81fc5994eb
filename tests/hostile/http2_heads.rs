//! Heads that are short on the wire and long in memory.

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ATTACK;
use crate::broker::Setup;
use crate::frames::{END_HEADERS, HEADERS, block, frame, hello, request};
use crate::report::Row;
use crate::stranger::connect;

const CONNECTIONS: usize = 12;
const STREAMS: u32 = 1_000;
const FIELDS: usize = 1_900;

/// A field is told once, and then named by a byte each time (RFC 7541 section
/// 6.1).
pub(crate) async fn indexed_fields() -> Row {
    /// Adds the field `x` without a value to the table, where it is number 0x3e.
    const ADD: &[u8] = &[0x40, 1, b'x', 0];
    const NAME: u8 = 0x80 | 0x3e;
    let attack = async |_: &_| {
        let head = [
            &block(&request("POST", "/client"))[..],
            ADD,
            &[NAME; FIELDS - 1],
        ];
        let again = [&block(&request("POST", "/client"))[..], &[NAME; FIELDS]];
        let (head, again) = (head.concat(), again.concat());
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let begin = [hello(), frame(HEADERS, END_HEADERS, 1, &head)].concat();
            let again = again.clone();
            connections.spawn(async move {
                let mut stream = connect(&begin).await;
                for number in 1..STREAMS {
                    // A debug build is not to be kept busy by reading alone.
                    sleep(ATTACK * 2 / STREAMS).await;
                    let more = frame(HEADERS, END_HEADERS, 2 * number + 1, &again);
                    stream.write_all(&more).await.ok();
                }
                stream
            });
        }
        let open = connections.join_all().await;
        let sent = again.len() * open.len() * usize::try_from(STREAMS).unwrap() / 1_000_000;
        format!("{CONNECTIONS} connections of {STREAMS} heads with {FIELDS} fields, {sent} MB sent")
    };
    Setup::new().start().await.withstands(attack).await
}

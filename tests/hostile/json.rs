//! The most expensive documents, on each path.

use std::iter::repeat_n;

use tokio::task::JoinSet;

use crate::broker::Setup;
use crate::documents::documents;
use crate::network::{STRANGER, connect};
use crate::report::Row;
use crate::support::peer::Peer;

/// Number of times that each document is sent.
const TIMES: usize = 3;

pub(crate) async fn worst_cases() -> Row {
    let attack = async |_: &_| {
        let mut senders = JoinSet::new();
        for path in ["/client", "/proxy", "/answer"] {
            senders.spawn(async move {
                for (name, document) in documents().iter().flat_map(|one| repeat_n(one, TIMES)) {
                    send(path, name, document).await;
                }
            });
        }
        senders.join_all().await;
        let kinds = documents().len();
        format!(
            "{} documents of {kinds} kinds, none taken",
            kinds * TIMES * 3
        )
    };
    Setup::new().start().await.withstands(attack).await
}

async fn send(path: &'static str, name: &str, document: &[u8]) {
    let version: &[u8] = if path == "/client" { b"1.0\n" } else { b"" };
    let body = [version, document].concat();
    let mut peer = Peer::http1_over(connect(STRANGER).await.unwrap()).await;
    let (status, reply) = peer.post(path, body).await;
    if path == "/client" {
        assert!(reply.contains("\"error\""), "{name}: {status} {reply}");
    } else {
        assert_eq!(status, 400, "{name}: {reply}");
    }
}

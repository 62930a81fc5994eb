//! The end of a connection that the other side has to close.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::FOREVER;

/// All that comes until the other side closes.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut reply = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut reply)).await;
    // A reset is an end, too.
    read.expect("it does not close").ok();
    String::from_utf8_lossy(&reply).into_owned()
}

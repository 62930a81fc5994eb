//! The end of a connection that the other side must close.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);

/// Reads until the other side closes.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut reply = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut reply)).await;
    // A reset also ends the connection.
    read.expect("it does not close").ok();
    String::from_utf8_lossy(&reply).into_owned()
}

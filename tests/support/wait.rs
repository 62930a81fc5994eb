//! Waits for other programs.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};

/// Maximum time of a test that hangs; no test should come close to it.
pub(crate) const LONG_ENOUGH: Duration = Duration::from_mins(2);

const PAUSE: Duration = Duration::from_millis(100);

/// Retries until there is a value. An error ends the wait at once.
pub(crate) async fn until<T>(
    what: &str,
    attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    timeout(LONG_ENOUGH, poll(attempt))
        .await
        .with_context(|| format!("waited too long: {what}"))?
        .with_context(|| format!("waiting: {what}"))
}

async fn poll<T>(mut attempt: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    loop {
        if let Some(value) = attempt().await? {
            return Ok(value);
        }
        sleep(PAUSE).await;
    }
}

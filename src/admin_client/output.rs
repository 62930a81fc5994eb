//! Printing of responses: text for people, or JSON as defined by Protocol Buffers
//! (lowerCamelCase names, 64-bit numbers as strings, durations as `"1.5s"`), the same as
//! from grpcurl with `-emit-defaults`.

use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;

use super::failure::Failure;

/// A printer of answers, as text or as JSON.
#[derive(Debug)]
pub(super) struct Printer {
    is_json: bool,
}

impl Printer {
    /// A printer of JSON or text.
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Returns true for JSON.
    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Prints a message as a JSON object on one line, or as text.
    pub(super) fn show<M: Serialize>(
        &self,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        if self.is_json {
            let json = serde_json::to_string(message).map_err(io::Error::from)?;
            print(&(json + "\n"))
        } else {
            print(&text(message))
        }
    }
}

/// Prints text as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match printed {
        // For example, `head` has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::NoReader),
        printed => Ok(printed?),
    }
}

/// Prints a warning to stderr, and ignores errors: if stderr is closed, nobody reads it.
pub(super) fn warn(warning: &str) {
    let _ = writeln!(io::stderr().lock(), "warning: {warning}");
}

#[cfg(test)]
mod tests {
    use crate::proto::admin::v1;

    #[test]
    fn json_is_that_of_protocol_buffers() {
        let interval = v1::PoolInterval {
            pool: v1::Pool::Open.into(),
            interval: Some(prost_types::Duration {
                seconds: 2,
                nanos: 500_000_000,
            }),
        };
        assert_eq!(
            serde_json::to_string(&interval).unwrap(),
            r#"{"pool":"OPEN","interval":"2.500s"}"#
        );
        let poll = v1::ParkedPoll {
            waiting_ms: 1_234,
            ..v1::ParkedPoll::default()
        };
        assert_eq!(
            serde_json::to_string(&poll).unwrap(),
            r#"{"type":"","nat":"","pool":"POOL_UNSPECIFIED","clients":"0","country":"","waitingMs":"1234"}"#
        );
    }
}

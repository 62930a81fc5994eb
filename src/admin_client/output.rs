//! Printing of responses: text for people, or JSON as defined by Protocol Buffers
//! (lowerCamelCase names, 64-bit numbers as strings, durations as `"1.5s"`), the same as
//! from grpcurl with `-emit-defaults`.

use std::io::{self, ErrorKind, Write as _};

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Serialize;

use crate::proto::DESCRIPTORS;

use super::failure::Failure;

/// A printer of answers, as text or as JSON.
#[derive(Debug)]
pub(super) struct Printer {
    /// The descriptors of all messages, for JSON.
    descriptors: Option<DescriptorPool>,
}

impl Printer {
    /// A printer of JSON or text.
    pub(super) fn new(json: bool) -> Result<Self, Failure> {
        let descriptors = json.then(|| DescriptorPool::decode(DESCRIPTORS));
        Ok(Self {
            descriptors: descriptors.transpose().map_err(io::Error::other)?,
        })
    }

    /// Returns true for JSON.
    pub(super) fn is_json(&self) -> bool {
        self.descriptors.is_some()
    }

    /// Prints a message as a JSON object on one line, or as text.
    pub(super) fn show<M: Message + Name>(
        &self,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        match &self.descriptors {
            Some(descriptors) => print(&(json(descriptors, message)? + "\n")),
            None => print(&text(message)),
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

fn json<M: Message + Name>(descriptors: &DescriptorPool, message: &M) -> io::Result<String> {
    let descriptor = descriptors
        .get_message_by_name(&M::full_name())
        .ok_or_else(|| io::Error::other(M::full_name()))?;
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, &*bytes).map_err(io::Error::other)?;
    // Every field is present, whatever its value.
    let options = SerializeOptions::new().skip_default_fields(false);
    serde_json::to_string(&Canonical(&message, &options)).map_err(io::Error::other)
}

struct Canonical<'a>(&'a DynamicMessage, &'a SerializeOptions);

impl Serialize for Canonical<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_with_options(serializer, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::v1;

    #[test]
    fn json_is_that_of_protocol_buffers() {
        let descriptors = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let interval = v1::PoolInterval {
            pool: v1::Pool::Open.into(),
            interval: Some(prost_types::Duration {
                seconds: 2,
                nanos: 500_000_000,
            }),
        };
        assert_eq!(
            json(&descriptors, &interval).unwrap(),
            r#"{"pool":"OPEN","interval":"2.500s"}"#
        );
        let poll = v1::ParkedPoll {
            waiting_ms: 1_234,
            ..v1::ParkedPoll::default()
        };
        assert_eq!(
            json(&descriptors, &poll).unwrap(),
            r#"{"type":"","nat":"","pool":"POOL_UNSPECIFIED","clients":"0","country":"","waitingMs":"1234"}"#
        );
    }
}

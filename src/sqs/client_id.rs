//! A client's ID, and the name of its reply queue.

use std::fmt;

/// The prefix of the names of reply queues.
pub const REPLY_QUEUES: &str = "snowflake-client-";

/// The maximum length of a queue's name.
pub(super) const LONGEST_NAME: usize = 80;

/// A client's ID, which is valid in the name of a queue. `Debug` does not show it, since
/// it identifies the client.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientId(String);

/// A reason why a message does not name a valid reply queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClientId {
    /// The attribute `ClientID` is missing.
    #[error("the message has no ClientID")]
    Absent,
    /// The ID cannot be part of a queue's name.
    #[error("the message's ClientID cannot be part of a queue's name")]
    Form,
}

impl ClientId {
    /// Parses the value of the attribute.
    pub fn parse(id: Option<String>) -> Result<Self, InvalidClientId> {
        let id = id.ok_or(InvalidClientId::Absent)?;
        if !is_name(&id) || id.len() + REPLY_QUEUES.len() > LONGEST_NAME {
            return Err(InvalidClientId::Form);
        }
        Ok(Self(id))
    }

    /// The name of the client's reply queue.
    pub fn reply_queue(&self) -> String {
        format!("{REPLY_QUEUES}{}", self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientId(..)")
    }
}

/// Returns true if a queue can have this name. FIFO queues, whose names end in `.fifo`,
/// are not supported.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_queue_is_an_id() {
        let longest = "a".repeat(LONGEST_NAME - REPLY_QUEUES.len());
        for id in ["0", "00ffA_z-", &longest] {
            let name = ClientId::parse(Some(id.to_owned())).unwrap().reply_queue();
            assert_eq!(name, format!("snowflake-client-{id}"));
            assert!(name.len() <= LONGEST_NAME);
        }
        let too_long = format!("{longest}a");
        for id in ["", " ", "a/b", "../a", "a.fifo", "a\n", "\u{fc}", &too_long] {
            let refused = Err(InvalidClientId::Form);
            assert_eq!(ClientId::parse(Some(id.to_owned())), refused, "{id}");
        }
        assert_eq!(ClientId::parse(None), Err(InvalidClientId::Absent));
    }

    #[test]
    fn nobody_sees_it() {
        let id = ClientId::parse(Some("0123".to_owned())).unwrap();
        assert_eq!(format!("{id:?}"), "ClientId(..)");
    }
}

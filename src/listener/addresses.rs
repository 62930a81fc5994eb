//! Lists of addresses in settings: one string, possibly with commas, or a list of
//! strings.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize as _, Serializer};

/// The strings, trimmed; empty for an empty setting. `expected` describes the format in
/// an error.
///
/// # Errors
/// Fails if the value is neither a string nor a list of strings.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Addresses { expected })
}

/// The word that turns a listener off.
pub const OFF: &str = "off";

/// Addresses and ports; none for [`OFF`].
///
/// # Errors
/// As [`deserialize`].
pub fn deserialize_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let mut addresses = deserialize(deserializer, "an address and port, a list of them, or off")?;
    addresses.retain(|address| address != OFF);
    Ok(addresses)
}

/// Writes a single address as a string, several as a list.
///
/// # Errors
/// Returns the serializer's errors.
pub fn serialize<S: Serializer>(addresses: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match addresses {
        [one] => one.serialize(serializer),
        several => several.serialize(serializer),
    }
}

struct Addresses {
    expected: &'static str,
}

impl<'de> Visitor<'de> for Addresses {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_none<E: Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
        let addresses = text
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty());
        Ok(addresses.map(str::to_owned).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut addresses = Vec::new();
        while let Some(address) = list.next_element::<String>()? {
            addresses.push(address.trim().to_owned());
        }
        Ok(addresses)
    }
}

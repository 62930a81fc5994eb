//! Two-letter country codes.

use std::fmt;
use std::str::{self, FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A country's ISO 3166-1 code in capitals, or another two-character code of a database
/// (`EU`, `A1`); `??` if unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountryCode([u8; 2]);

/// The error for a text that is neither two ASCII letters or digits nor `??`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a country must be two letters or digits, or ??")]
pub struct InvalidCountryCode;

impl CountryCode {
    /// The unknown country, `??`, as the metrics log writes it.
    pub const UNKNOWN: Self = Self(*b"??");

    /// Parses a code. Lower-case letters are converted, so that each country has one
    /// code.
    pub fn from_bytes(code: &[u8]) -> Result<Self, InvalidCountryCode> {
        let code: [u8; 2] = code.try_into().map_err(|_| InvalidCountryCode)?;
        if code == Self::UNKNOWN.0 {
            return Ok(Self::UNKNOWN);
        }
        if !code.iter().all(u8::is_ascii_alphanumeric) {
            return Err(InvalidCountryCode);
        }
        Ok(Self(code.map(|byte| byte.to_ascii_uppercase())))
    }

    /// The two characters.
    pub fn as_str(&self) -> &str {
        // Only ASCII is accepted, so the default is never used.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for CountryCode {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl FromStr for CountryCode {
    type Err = InvalidCountryCode;

    fn from_str(code: &str) -> Result<Self, InvalidCountryCode> {
        Self::from_bytes(code.as_bytes())
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for CountryCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CountryCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        code.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_two_letters_or_digits_in_capitals() {
        for (text, code) in [("DE", "DE"), ("de", "DE"), ("A1", "A1"), ("??", "??")] {
            assert_eq!(text.parse::<CountryCode>().unwrap().to_string(), code);
        }
        for wrong in ["", "D", "DEU", "D?", "?", "é", "D,", "D "] {
            assert_eq!(wrong.parse::<CountryCode>(), Err(InvalidCountryCode));
        }
    }

    #[test]
    fn the_default_is_unknown() {
        assert_eq!(CountryCode::default(), CountryCode::UNKNOWN);
        assert_eq!(CountryCode::UNKNOWN.as_str(), "??");
    }
}

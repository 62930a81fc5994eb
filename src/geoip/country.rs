//! The two letters of a country.

use std::fmt;
use std::str::{self, FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A country by its ISO 3166-1 code in capitals, or another code of two
/// characters that a database uses (`EU`, `A1`); `??` where none is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountryCode([u8; 2]);

/// Not two ASCII letters or digits, nor `??`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a country is two letters or digits, or ??")]
pub struct InvalidCountryCode;

impl CountryCode {
    /// `??`, as the metrics log writes it.
    pub const UNKNOWN: Self = Self(*b"??");

    /// Small letters are made capitals, so that a country has one code.
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
        // Only ASCII gets in, so the default is never taken.
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

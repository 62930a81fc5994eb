//! Fingerprints of bridges: which bridge a client wants to be brought to.

use std::fmt;
use std::str::FromStr;

/// The SHA-1 digest of a bridge's identity key, written as 40 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 20]);

/// A text that is not 40 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode fingerprint")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// The bridge meant by clients that name none.
    pub const DEFAULT: Self = Self([
        0x2B, 0x28, 0x0B, 0x23, 0xE1, 0x10, 0x7B, 0xB6, 0x2A, 0xBF, 0xC4, 0x0D, 0xDC, 0xC8, 0x82,
        0x48, 0x14, 0xF8, 0x0A, 0x72,
    ]);

    /// The fingerprint of these 20 bytes; `None` of any other number of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 20 bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The fingerprint in a field that may be absent or empty, which means
    /// [`Self::DEFAULT`].
    pub fn from_field(text: Option<&str>) -> Result<Self, InvalidFingerprint> {
        match text {
            None | Some("") => Ok(Self::DEFAULT),
            Some(text) => text.parse(),
        }
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut digest = [0; 20];
        hex::decode_to_slice(text, &mut digest).map_err(|_| InvalidFingerprint)?;
        Ok(Self(digest))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode_upper(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_hex_digits_in_any_case() {
        let text = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";
        assert_eq!(text.parse(), Ok(Fingerprint::DEFAULT));
        assert_eq!(text.to_lowercase().parse(), Ok(Fingerprint::DEFAULT));
        assert_eq!(Fingerprint::DEFAULT.to_string(), text);
        assert_eq!(Fingerprint::from_field(None), Ok(Fingerprint::DEFAULT));
        assert_eq!(Fingerprint::from_field(Some("")), Ok(Fingerprint::DEFAULT));
        for wrong in [
            &text[1..],
            &text[2..],
            &format!("{text}00"),
            "x",
            &text.replace('2', "g"),
        ] {
            assert_eq!(
                Fingerprint::from_field(Some(wrong)),
                Err(InvalidFingerprint)
            );
        }
    }
}

//! Fingerprints of bridges, by which clients name the bridge they want.

use std::fmt;
use std::str::FromStr;

/// A bridge's identity: the SHA-1 digest of its RSA identity key, written as 40 hex
/// digits, or its Ed25519 identity key, written as 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(Identity);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Identity {
    RsaDigest([u8; 20]),
    Ed25519([u8; 32]),
}

/// The error for a text that is neither 40 nor 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode fingerprint")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// The bridge of clients that name none.
    pub const DEFAULT: Self = Self(Identity::RsaDigest([
        0x2B, 0x28, 0x0B, 0x23, 0xE1, 0x10, 0x7B, 0xB6, 0x2A, 0xBF, 0xC4, 0x0D, 0xDC, 0xC8, 0x82,
        0x48, 0x14, 0xF8, 0x0A, 0x72,
    ]));

    /// The fingerprint with these 20 or 32 bytes; `None` for any other number of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let digest = bytes.try_into().map(Identity::RsaDigest);
        let identity = digest.or_else(|_| bytes.try_into().map(Identity::Ed25519));
        identity.ok().map(Self)
    }

    /// The 20 or 32 bytes of the fingerprint.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Identity::RsaDigest(digest) => digest,
            Identity::Ed25519(key) => key,
        }
    }

    /// Reads a field. If it is absent or empty, the fingerprint is [`Self::DEFAULT`].
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
        let mut bytes = [0; 32];
        let bytes = bytes.get_mut(..text.len() / 2).ok_or(InvalidFingerprint)?;
        hex::decode_to_slice(text, bytes).map_err(|_| InvalidFingerprint)?;
        Self::from_bytes(bytes).ok_or(InvalidFingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode_upper(self.as_bytes()))
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
    fn sixty_four_hex_digits_in_any_case() {
        let text = "AbCdEf0123456789".repeat(4);
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), text.to_uppercase());
        assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.as_bytes(), hex::decode(&text).unwrap());
        for digits in (0..=128).filter(|digits| ![0, 40, 64].contains(digits)) {
            let text = "0".repeat(digits);
            assert_eq!(
                Fingerprint::from_field(Some(&text)),
                Err(InvalidFingerprint)
            );
        }
    }

    /// A client that asks for one bridge never gets the other.
    #[test]
    fn of_equal_beginnings_they_differ() {
        let short: Fingerprint = "0".repeat(40).parse().unwrap();
        let long: Fingerprint = "0".repeat(64).parse().unwrap();
        assert_ne!(short, long);
        for fingerprint in [short, long] {
            assert_eq!(
                Fingerprint::from_bytes(fingerprint.as_bytes()),
                Some(fingerprint)
            );
        }
        assert_eq!(Fingerprint::from_bytes(&[0; 21]), None);
    }

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

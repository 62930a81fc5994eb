//! The six NAT words that clients and proxies describe themselves with, and the
//! three classes that these fall into.

use std::fmt;
use std::str::FromStr;

/// The ease with which a peer can be reached, in its own words. The first three are
/// the words of one generation of clients and proxies, the others of the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NatType {
    /// Legacy: behind a NAT that maps by destination, or a firewall.
    Restricted,
    /// Legacy: reachable by everybody.
    Unrestricted,
    /// Needs a peer that is open.
    Strict,
    /// Reaches peers that are moderate or open.
    Moderate,
    /// Reachable by everybody.
    Open,
    /// Not measured; treated as the worst case.
    #[default]
    Unknown,
}

/// A word that is none of the six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid NAT type")]
pub struct InvalidNatType;

impl NatType {
    /// All six, in the order in which `/debug` lists them.
    pub const ALL: [Self; 6] = [
        Self::Restricted,
        Self::Unrestricted,
        Self::Strict,
        Self::Moderate,
        Self::Open,
        Self::Unknown,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Unrestricted => "unrestricted",
            Self::Strict => "strict",
            Self::Moderate => "moderate",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }

    /// The word in a field that may be absent or empty, which means unknown.
    pub fn from_field(word: Option<&str>) -> Result<Self, InvalidNatType> {
        match word {
            None | Some("") => Ok(Self::Unknown),
            Some(word) => word.parse(),
        }
    }
}

impl FromStr for NatType {
    type Err = InvalidNatType;

    fn from_str(word: &str) -> Result<Self, InvalidNatType> {
        Self::ALL
            .into_iter()
            .find(|nat| nat.as_str() == word)
            .ok_or(InvalidNatType)
    }
}

impl fmt::Display for NatType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The three classes that the six NAT words fall into. A proxy's class names
/// the pool it is parked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NatClass {
    /// Reachable by everybody.
    Open,
    /// Reaches moderate and open peers.
    Moderate,
    /// Reaches open peers; also whoever does not know.
    Strict,
}

impl NatClass {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Open, Self::Moderate, Self::Strict];

    /// The class of a peer that describes itself with `nat`.
    pub fn of(nat: NatType) -> Self {
        match nat {
            NatType::Open | NatType::Unrestricted => Self::Open,
            NatType::Moderate => Self::Moderate,
            NatType::Strict | NatType::Restricted | NatType::Unknown => Self::Strict,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Moderate => "moderate",
            Self::Strict => "strict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_exact_and_absent_means_unknown() {
        for nat in NatType::ALL {
            assert_eq!(NatType::from_field(Some(nat.as_str())), Ok(nat));
        }
        assert_eq!(NatType::from_field(None), Ok(NatType::Unknown));
        assert_eq!(NatType::from_field(Some("")), Ok(NatType::Unknown));
        for wrong in ["Open", "open ", "symmetric"] {
            assert_eq!(NatType::from_field(Some(wrong)), Err(InvalidNatType));
        }
    }
}

//! The six NAT words of clients and proxies, and the three classes that they belong to.

use std::fmt;
use std::str::FromStr;

/// The reachability that a client or proxy reports for itself. The first two words are
/// legacy; the next three belong to the newer three-class scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NatType {
    /// Legacy: behind a firewall or a NAT that maps by destination.
    Restricted,
    /// Legacy: reachable by everyone.
    Unrestricted,
    /// Can connect only to an open remote end.
    Strict,
    /// Can connect to a moderate or open remote end.
    Moderate,
    /// Reachable by everyone.
    Open,
    /// Not measured; treated as the worst case.
    #[default]
    Unknown,
}

/// The error for a word that is not one of the six.
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

    /// Reads a field, which may be absent or empty and then means unknown.
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

/// The three classes of the six NAT words. A proxy's class names the pool that its poll
/// is parked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NatClass {
    /// Reachable by everyone.
    Open,
    /// Can connect to moderate and open remote ends.
    Moderate,
    /// Can connect to open remote ends only. Includes unknown NATs.
    Strict,
}

impl NatClass {
    /// All three classes.
    pub const ALL: [Self; 3] = [Self::Open, Self::Moderate, Self::Strict];

    /// The class of a NAT word.
    pub fn of(nat: NatType) -> Self {
        match nat {
            NatType::Open | NatType::Unrestricted => Self::Open,
            NatType::Moderate => Self::Moderate,
            NatType::Strict | NatType::Restricted | NatType::Unknown => Self::Strict,
        }
    }

    /// The name of the class.
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

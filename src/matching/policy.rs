//! Who can reach whom: the pool of a proxy, and the pools that serve a client.

use crate::wire::nat::NatType;

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

    /// The pools for a client of this class, in the order in which they are
    /// tried: proxies that everybody reaches are scarce and come last.
    pub(super) fn pools(self) -> &'static [Self] {
        match self {
            Self::Open => &[Self::Strict, Self::Moderate, Self::Open],
            Self::Moderate => &[Self::Moderate, Self::Open],
            Self::Strict => &[Self::Open],
        }
    }

    /// The classes of clients that a proxy in this pool can serve.
    pub(super) fn clients(self) -> &'static [Self] {
        match self {
            Self::Open => &[Self::Open, Self::Moderate, Self::Strict],
            Self::Moderate => &[Self::Open, Self::Moderate],
            Self::Strict => &[Self::Open],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_agree() {
        for client in NatClass::ALL {
            for pool in NatClass::ALL {
                assert_eq!(
                    client.pools().contains(&pool),
                    pool.clients().contains(&client),
                    "{client:?} {pool:?}"
                );
            }
        }
    }
}

//! The pools that can serve a client, and the clients that a pool can serve.

use crate::wire::nat::NatClass;

/// The pools for a client of this class, in the order in which they are tried. Proxies
/// that every client can reach are scarce and come last.
pub fn pools_for(client: NatClass) -> &'static [NatClass] {
    use NatClass::{Moderate, Open, Strict};
    match client {
        Open => &[Strict, Moderate, Open],
        Moderate => &[Moderate, Open],
        Strict => &[Open],
    }
}

/// The classes of clients that a proxy in this pool can serve.
pub(super) fn clients_for(pool: NatClass) -> &'static [NatClass] {
    use NatClass::{Moderate, Open, Strict};
    match pool {
        Open => &[Open, Moderate, Strict],
        Moderate => &[Open, Moderate],
        Strict => &[Open],
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
                    pools_for(client).contains(&pool),
                    clients_for(pool).contains(&client),
                    "{client:?} {pool:?}"
                );
            }
        }
    }
}

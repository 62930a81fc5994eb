//! Conversions of what the messages between brokers have in common, whether they are peers or
//! nodes of a cluster.

use std::collections::BTreeMap;

use crate::broker::private_pools::settings::POOLS_MAX;
use crate::metrics::labels::{PrivatePoolName, Rendezvous};
use crate::proto::federation::v1;
use crate::wire::nat::{NatClass, NatType};

/// Encodes the number of proxies of each pool.
pub fn pool_supplies(proxies: [usize; NatClass::ALL.len()]) -> Vec<v1::PoolSupply> {
    let pools = NatClass::ALL.into_iter().zip(proxies);
    let supplies = pools.map(|(class, proxies)| v1::PoolSupply {
        pool: pool(class).into(),
        proxies: u32::try_from(proxies).unwrap_or(u32::MAX),
    });
    supplies.collect()
}

/// Decodes the number of proxies of each pool, ignoring unknown ones.
pub fn proxies(supplies: &[v1::PoolSupply]) -> [usize; NatClass::ALL.len()] {
    let mut proxies = [0; NatClass::ALL.len()];
    for supply in supplies {
        if let Some(class) = class(supply.pool()) {
            proxies[class as usize] = usize::try_from(supply.proxies).unwrap_or(usize::MAX);
        }
    }
    proxies
}

/// Encodes the number of proxies of private pools.
pub fn private_pool_supplies(
    private_pools: &[(PrivatePoolName, [usize; NatClass::ALL.len()])],
) -> Vec<v1::PrivatePoolSupply> {
    let supplies = private_pools
        .iter()
        .map(|(name, proxies)| v1::PrivatePoolSupply {
            name: name.to_string(),
            pools: pool_supplies(*proxies),
        });
    supplies.collect()
}

/// Decodes the number of proxies of private pools.
pub fn private_pools(
    supplies: &[v1::PrivatePoolSupply],
) -> BTreeMap<PrivatePoolName, [usize; NatClass::ALL.len()]> {
    let supplies = supplies.iter().take(POOLS_MAX);
    let named = supplies.map(|supply| (supply.name.as_str().into(), proxies(&supply.pools)));
    named.collect()
}

/// Encodes the name of a private pool; an empty word stands for everybody.
pub fn pool_word(private_pool: Option<&PrivatePoolName>) -> String {
    private_pool
        .map(PrivatePoolName::to_string)
        .unwrap_or_default()
}

/// Decodes the name of a private pool; `None` stands for everybody.
pub fn pool_of_word(word: &str) -> Option<PrivatePoolName> {
    (!word.is_empty()).then(|| word.into())
}

fn pool(class: NatClass) -> v1::Pool {
    match class {
        NatClass::Open => v1::Pool::Open,
        NatClass::Moderate => v1::Pool::Moderate,
        NatClass::Strict => v1::Pool::Strict,
    }
}

fn class(pool: v1::Pool) -> Option<NatClass> {
    match pool {
        v1::Pool::Unspecified => None,
        v1::Pool::Open => Some(NatClass::Open),
        v1::Pool::Moderate => Some(NatClass::Moderate),
        v1::Pool::Strict => Some(NatClass::Strict),
    }
}

/// Encodes a client's NAT.
pub fn nat(nat: NatType) -> v1::Nat {
    match nat {
        NatType::Unknown => v1::Nat::Unknown,
        NatType::Restricted => v1::Nat::Restricted,
        NatType::Unrestricted => v1::Nat::Unrestricted,
        NatType::Strict => v1::Nat::Strict,
        NatType::Moderate => v1::Nat::Moderate,
        NatType::Open => v1::Nat::Open,
    }
}

/// Decodes a client's NAT.
pub fn nat_type(nat: v1::Nat) -> NatType {
    match nat {
        v1::Nat::Unknown => NatType::Unknown,
        v1::Nat::Restricted => NatType::Restricted,
        v1::Nat::Unrestricted => NatType::Unrestricted,
        v1::Nat::Strict => NatType::Strict,
        v1::Nat::Moderate => NatType::Moderate,
        v1::Nat::Open => NatType::Open,
    }
}

/// Encodes a rendezvous method.
pub fn rendezvous(rendezvous: Rendezvous) -> v1::Rendezvous {
    match rendezvous {
        Rendezvous::Http => v1::Rendezvous::Http,
        Rendezvous::Ampcache => v1::Rendezvous::Ampcache,
        Rendezvous::Sqs => v1::Rendezvous::Sqs,
    }
}

/// Decodes a rendezvous method, if it is given.
pub fn rendezvous_method(rendezvous: v1::Rendezvous) -> Option<Rendezvous> {
    match rendezvous {
        v1::Rendezvous::Unspecified => None,
        v1::Rendezvous::Http => Some(Rendezvous::Http),
        v1::Rendezvous::Ampcache => Some(Rendezvous::Ampcache),
        v1::Rendezvous::Sqs => Some(Rendezvous::Sqs),
    }
}

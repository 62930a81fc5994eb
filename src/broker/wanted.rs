//! The kinds of proxies that are wanted, from supply and demand. Pure. Everyone may see the
//! result, so clients count in groups only: else it would tell when a single one comes.

use serde::Serialize;

use crate::metrics::{ClientFigures, GaugeSnapshot};
use crate::wire::nat::NatClass;

/// One in this many recent clients without an answer is no sign of a lack: proxies go away,
/// and clients give up.
const UNSERVED_ONE_IN: usize = 10;
/// The parked polls that are no surplus, however few clients come.
const SPARE: usize = 100;
/// The size of the groups of clients.
const GROUP: usize = 8;
/// The parked polls for each recent client beyond which there are too many.
const SURPLUS: usize = 4;

/// The broker's need of more proxies of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KindNeed {
    /// Clients go without, or would if any more came.
    Needed,
    /// Clients are served.
    Enough,
    /// Most proxies of the kind wait in vain.
    TooMany,
}

impl KindNeed {
    /// The need in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Enough => "enough",
            Self::TooMany => "too many",
        }
    }
}

/// The need of more proxies in a pool.
///
/// The clients that only this pool and better ones can serve are its own: without their
/// proxies they would need a better pool, whose proxies are rarer.
pub fn wanted(pool: NatClass, figures: &GaugeSnapshot) -> KindNeed {
    let clients = own_clients(pool);
    let parked = parked(pool, figures);
    let queued = figures.queued.iter().find(|(class, _)| *class == clients);
    let queued = queued.map_or(0, |(_, count)| in_groups(*count));
    let recent = figures.clients.iter().find(|it| it.class == clients);
    let demand = recent.map_or(0, |it| in_groups(it.recent));
    if queued > 0 || recent.is_some_and(goes_without) || parked < demand || parked == 0 {
        KindNeed::Needed
    } else if parked > SPARE.saturating_add(demand.saturating_mul(SURPLUS)) {
        KindNeed::TooMany
    } else {
        KindNeed::Enough
    }
}

/// The parked polls of a pool.
pub fn parked(pool: NatClass, figures: &GaugeSnapshot) -> usize {
    let parked = figures.parked.iter();
    let parked = parked.filter(|(_, nat, _)| NatClass::of(*nat) == pool);
    parked.map(|(_, _, count)| count).sum()
}

fn goes_without(clients: &ClientFigures) -> bool {
    in_groups(clients.unserved).saturating_mul(UNSERVED_ONE_IN) > in_groups(clients.recent)
}

/// The number without those who do not fill a group.
fn in_groups(clients: usize) -> usize {
    clients / GROUP * GROUP
}

/// The class of clients for which this is the least of the pools that can serve them.
fn own_clients(pool: NatClass) -> NatClass {
    match pool {
        NatClass::Open => NatClass::Strict,
        NatClass::Moderate => NatClass::Moderate,
        NatClass::Strict => NatClass::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::nat::NatType;
    use crate::wire::proxy::ProxyType;

    /// Figures of this many parked polls of unrestricted proxies, and of clients behind strict
    /// NATs.
    fn figures(parked: usize, queued: usize, recent: usize, unserved: usize) -> GaugeSnapshot {
        GaugeSnapshot {
            parked: vec![(ProxyType::STANDALONE, NatType::Unrestricted, parked)],
            queued: vec![(NatClass::Strict, queued)],
            clients: vec![ClientFigures {
                class: NatClass::Strict,
                recent,
                unserved,
            }],
            ..GaugeSnapshot::default()
        }
    }

    #[test]
    fn proxies_are_wanted_as_clients_need_them() {
        for (parked, queued, recent, unserved, expected) in [
            (0, 0, 0, 0, KindNeed::Needed),
            (1, 0, 0, 0, KindNeed::Enough),
            (100, 0, 0, 0, KindNeed::Enough),
            (101, 0, 0, 0, KindNeed::TooMany),
            (101, 8, 0, 0, KindNeed::Needed),
            (15, 0, 20, 0, KindNeed::Needed),
            (16, 0, 20, 0, KindNeed::Enough),
            (200, 0, 164, 15, KindNeed::Enough),
            (200, 0, 159, 16, KindNeed::Needed),
            (164, 0, 20, 0, KindNeed::Enough),
            (165, 0, 20, 0, KindNeed::TooMany),
            (usize::MAX, 0, usize::MAX, 0, KindNeed::Enough),
        ] {
            let figures = figures(parked, queued, recent, unserved);
            let case = (parked, queued, recent, unserved);
            assert_eq!(wanted(NatClass::Open, &figures), expected, "{case:?}");
        }
    }

    #[test]
    fn a_few_clients_change_nothing() {
        for few in 0..8 {
            for (parked, expected) in [(50, KindNeed::Enough), (101, KindNeed::TooMany)] {
                let figures = figures(parked, few, few, few);
                assert_eq!(wanted(NatClass::Open, &figures), expected, "{few}");
            }
        }
    }

    #[test]
    fn a_pool_is_judged_by_its_own_clients() {
        let figures = figures(50, 8, 20, 0);
        assert_eq!(wanted(NatClass::Open, &figures), KindNeed::Needed);
        // Nobody is parked here.
        assert_eq!(wanted(NatClass::Moderate, &figures), KindNeed::Needed);
        let behind_nats = GaugeSnapshot {
            parked: vec![(ProxyType::WEBEXT, NatType::Restricted, 50)],
            ..figures
        };
        assert_eq!(wanted(NatClass::Strict, &behind_nats), KindNeed::Enough);
    }
}

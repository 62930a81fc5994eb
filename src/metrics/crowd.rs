//! The test that figures are about many addresses before they are shown.

/// The number of addresses from which on figures about them are shown, as many as the
/// step of rounded counts.
const MANY: usize = 8;

/// A client's address as a keyed hash. The key changes every hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourlyHash {
    /// The number of the hour, and thus of the key.
    pub hour: u64,
    /// The hash under that key.
    pub hash: u64,
}

/// The different addresses of one hour, up to the number that makes a crowd. After that,
/// none of them is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    hour: u64,
    hashes: Vec<u64>,
    is_one: bool,
}

impl Crowd {
    /// Adds an address. The number of different ones begins anew each hour, because the
    /// same address has another hash then.
    pub(super) fn add(&mut self, address: HourlyHash) {
        if self.is_one || address.hour < self.hour {
            return;
        }
        if address.hour > self.hour {
            self.hour = address.hour;
            self.hashes.clear();
        }
        if !self.hashes.contains(&address.hash) {
            self.hashes.push(address.hash);
        }
        if self.hashes.len() >= MANY {
            self.is_one = true;
            self.hashes = Vec::new();
        }
    }

    /// A crowd of which that is known already.
    pub(super) fn known() -> Self {
        Self {
            is_one: true,
            ..Self::default()
        }
    }

    /// Returns true if there were many different addresses in an hour.
    pub(super) fn is_one(&self) -> bool {
        self.is_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(addresses: impl IntoIterator<Item = (u64, u64)>) -> Crowd {
        let mut crowd = Crowd::default();
        for (hour, hash) in addresses {
            crowd.add(HourlyHash { hour, hash });
        }
        crowd
    }

    #[test]
    fn eight_addresses_of_one_hour_are_many() {
        assert!(!crowd((0..7).map(|hash| (1, hash))).is_one());
        let many = crowd((0..8).map(|hash| (1, hash)));
        assert!(many.is_one() && many.hashes.is_empty());
        assert!(!crowd((0..100).map(|hash| (1, hash % 7))).is_one());
    }

    /// No more than 7 hashes are kept, and those of one hour only.
    #[test]
    fn the_hashes_of_a_few_addresses_are_kept_until_there_is_one_of_another_hour() {
        assert_eq!(crowd((0..7).map(|hash| (1, hash))).hashes.len(), 7);
        let next_hour = (0..7).map(|hash| (1, hash)).chain([(2, 50)]);
        assert_eq!(crowd(next_hour).hashes, [50]);
    }

    /// An address has another hash in the next hour, and would be taken for two.
    #[test]
    fn addresses_of_several_hours_are_not_added_up() {
        assert!(!crowd((0..7).flat_map(|hash| [(hash, hash), (hash, hash + 100)])).is_one());
        let late = (0..7).map(|hash| (2, hash)).chain([(1, 50)]);
        assert!(!crowd(late).is_one());
    }
}

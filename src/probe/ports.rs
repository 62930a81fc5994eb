//! The range of UDP ports, one of which each probe has to itself.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// UDP ports, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// The error for a text that is no range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be FIRST-LAST, two ports between 1 and 65535, such as 61000-61255")]
pub struct InvalidPortRange;

impl PortRange {
    /// The ports from `first` to `last`, both included.
    pub fn new(first: u16, last: u16) -> Result<Self, InvalidPortRange> {
        let is_range = first > 0 && first <= last;
        is_range
            .then_some(Self { first, last })
            .ok_or(InvalidPortRange)
    }

    /// The number of ports.
    pub fn len(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Always false; for the sake of [`Self::len`].
    pub fn is_empty(self) -> bool {
        false
    }

    /// All ports, beginning with the one at `start`, which counts from the first and wraps
    /// around.
    pub fn from(self, start: usize) -> impl Iterator<Item = u16> {
        let split = self.first + u16::try_from(start % self.len()).unwrap_or_default();
        (split..=self.last).chain(self.first..split)
    }
}

impl Default for PortRange {
    /// Above the ports that Linux hands out by itself (`ip_local_port_range`).
    fn default() -> Self {
        Self {
            first: 61_000,
            last: 61_255,
        }
    }
}

impl FromStr for PortRange {
    type Err = InvalidPortRange;

    fn from_str(text: &str) -> Result<Self, InvalidPortRange> {
        let (first, last) = text.split_once('-').ok_or(InvalidPortRange)?;
        let port = |text: &str| text.trim().parse().map_err(|_| InvalidPortRange);
        Self::new(port(first)?, port(last)?)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["1-65535", "61000-61255", "7-7"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        for text in [
            "", "5", "5-", "0-5", "6-5", "1-65536", "a-b", "-1-5", "1-2-3",
        ] {
            assert_eq!(text.parse::<PortRange>(), Err(InvalidPortRange), "{text}");
        }
    }

    #[test]
    fn each_port_comes_once_wherever_one_begins() {
        let range = PortRange::new(65533, 65535).unwrap();
        let ports = |start| range.from(start).collect::<Vec<_>>();
        assert_eq!(ports(0), [65533, 65534, 65535]);
        assert_eq!(ports(2), [65535, 65533, 65534]);
        assert_eq!(ports(4), [65534, 65535, 65533]);
        assert_eq!(
            PortRange::new(7, 7).unwrap().from(9).collect::<Vec<_>>(),
            [7]
        );
    }
}

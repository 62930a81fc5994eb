//! Databases in `MaxMind`'s format, <https://maxmind.github.io/MaxMind-DB/>:
//! `GeoLite2-Country`, `GeoIP2-City`, `GeoLite2-ASN` and databases of other makers with the
//! same keys.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};

use super::Asn;
use super::country::CountryCode;
use super::table::{Number, RangeTable, RangeTableBuilder, RangeValue};

/// The reason for refusing a database in this format.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMaxmind {
    /// The database is damaged.
    #[error("is not a sound MaxMind database")]
    Format(#[from] MaxMindDbError),
    /// The database has no addresses of the family that was asked for.
    #[error("has no {0} addresses")]
    OtherFamily(&'static str),
    /// No record has what was asked for, as in a database of something else.
    #[error("has no {0}")]
    Useless(&'static str),
    /// The database has more networks than any real one; a tree with a cycle looks like
    /// this.
    #[error("has more than {MAX_NETWORKS} networks")]
    TooLarge,
}

/// Maximum number of networks. Large city databases have about 6 million.
const MAX_NETWORKS: usize = 1 << 25;

/// The marker that begins the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The number of bytes at the end that may contain the marker, by the format.
const MARKER_REACH: usize = 128 * 1024;

/// The paths at which a record may have its country. The registered country replaces the
/// country of networks that are in none, such as satellite networks. The last path is
/// used by other makers, such as ip-location-db and DB-IP's lite databases.
const COUNTRY_PATHS: [&[PathElement<'static>]; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[
        PathElement::Key("registered_country"),
        PathElement::Key("iso_code"),
    ],
    &[PathElement::Key("country_code")],
];

/// The paths at which a record may have its autonomous system. `MaxMind`, DB-IP and
/// ip-location-db have a number under the first, and `IPinfo` a text such as `AS64496` under
/// the second.
const ASN_PATHS: [&[PathElement<'static>]; 2] = [
    &[PathElement::Key("autonomous_system_number")],
    &[PathElement::Key("asn")],
];

/// A value that records may have.
pub(super) trait MaxmindValue: RangeValue {
    /// The name of such values, in the plural.
    const PLURAL: &'static str;

    /// The value in a record; the default if it has none.
    fn of(found: &LookupResult<'_, &[u8]>) -> Result<Self, MaxMindDbError>;
}

/// An address family in this format.
pub(super) trait MaxmindAddress: Number {
    const IS_IPV6: bool;
    const FAMILY: &'static str;

    /// The first and last address of a network; `None` if it belongs to the other family.
    fn range(address: IpAddr, prefix: u8) -> Option<(Self, Self)>;
}

/// Returns true if a file's content is in this format.
pub(super) fn is_maxmind(content: &[u8]) -> bool {
    let reach = content.len().saturating_sub(MARKER_REACH);
    content[reach..]
        .windows(MARKER.len())
        .any(|bytes| bytes == MARKER)
}

/// Reads a whole database.
pub(super) fn decode<A: MaxmindAddress, V: MaxmindValue>(
    content: &[u8],
) -> Result<RangeTable<A, V>, InvalidMaxmind> {
    let reader = Reader::from_source(content)?;
    if A::IS_IPV6 && reader.metadata().ip_version != 6 {
        return Err(InvalidMaxmind::OtherFamily(A::FAMILY));
    }
    let mut builder = RangeTableBuilder::with_capacity(0);
    let mut values = RecordValues::default();
    let mut has_networks = false;
    for (found, seen) in reader.networks(WithinOptions::default())?.zip(0..) {
        if seen == MAX_NETWORKS {
            return Err(InvalidMaxmind::TooLarge);
        }
        has_networks |= add(&mut builder, &mut values, &found?)?;
    }
    if !has_networks {
        return Err(InvalidMaxmind::OtherFamily(A::FAMILY));
    }
    values.check()?;
    Ok(builder.build())
}

/// Adds a network if it belongs to this family. Returns true if it does.
fn add<A: MaxmindAddress, V: MaxmindValue>(
    builder: &mut RangeTableBuilder<A, V>,
    values: &mut RecordValues<V>,
    found: &LookupResult<'_, &[u8]>,
) -> Result<bool, MaxMindDbError> {
    let network = found.network()?;
    let Some((first, last)) = A::range(network.ip(), network.prefix()) else {
        return Ok(false);
    };
    // The tree is walked in order, so its networks cannot overlap.
    let in_order = builder.push(first, last, values.of(found)?);
    debug_assert!(in_order, "networks come in order");
    Ok(true)
}

/// The values of records, each decoded only once.
#[derive(Default)]
struct RecordValues<V>(HashMap<usize, V>);

impl<V: MaxmindValue> RecordValues<V> {
    fn of(&mut self, found: &LookupResult<'_, &[u8]>) -> Result<V, MaxMindDbError> {
        let Some(offset) = found.offset() else {
            return Ok(V::default());
        };
        if let Some(value) = self.0.get(&offset) {
            return Ok(*value);
        }
        let value = V::of(found)?;
        self.0.insert(offset, value);
        Ok(value)
    }

    fn check(&self) -> Result<(), InvalidMaxmind> {
        let any = self.0.values().any(|value| *value != V::default());
        any.then_some(()).ok_or(InvalidMaxmind::Useless(V::PLURAL))
    }
}

impl MaxmindValue for CountryCode {
    const PLURAL: &'static str = "countries";

    fn of(found: &LookupResult<'_, &[u8]>) -> Result<Self, MaxMindDbError> {
        for path in COUNTRY_PATHS {
            // Some makers have a text where others have a map.
            if let Some(code) = if_there(found.decode_path::<&str>(path))? {
                return Ok(code.parse().unwrap_or_default());
            }
        }
        Ok(Self::UNKNOWN)
    }
}

impl MaxmindValue for Asn {
    const PLURAL: &'static str = "autonomous systems";

    fn of(found: &LookupResult<'_, &[u8]>) -> Result<Self, MaxMindDbError> {
        for path in ASN_PATHS {
            if let Some(number) = if_there(found.decode_path::<u32>(path))? {
                return Ok(Self(number));
            }
            if let Some(text) = if_there(found.decode_path::<&str>(path))? {
                let number = text.strip_prefix("AS").unwrap_or(text);
                return Ok(Self(number.parse().unwrap_or_default()));
            }
        }
        Ok(Self::default())
    }
}

/// The value at a path; `None` if there is none, or one of another kind.
fn if_there<T>(read: Result<Option<T>, MaxMindDbError>) -> Result<Option<T>, MaxMindDbError> {
    match read {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        read => read,
    }
}

impl MaxmindAddress for u32 {
    const IS_IPV6: bool = false;
    const FAMILY: &'static str = "IPv4";

    fn range(address: IpAddr, prefix: u8) -> Option<(Self, Self)> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let first = address.to_bits();
        let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        Some((first, first | hosts))
    }
}

impl MaxmindAddress for u128 {
    const IS_IPV6: bool = true;
    const FAMILY: &'static str = "IPv6";

    fn range(address: IpAddr, prefix: u8) -> Option<(Self, Self)> {
        let IpAddr::V6(address) = address else {
            return None;
        };
        let first = Ipv6Addr::to_bits(address);
        let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
        Some((first, first | hosts))
    }
}

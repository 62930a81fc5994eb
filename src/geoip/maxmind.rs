//! Databases in `MaxMind`'s format, <https://maxmind.github.io/MaxMind-DB/>:
//! `GeoLite2-Country`, `GeoIP2-City` and databases of other makers with the same keys.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};

use super::country::CountryCode;
use super::table::{CountryTable, CountryTableBuilder, Number};

/// The reason for refusing a database in this format.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMaxmind {
    /// The database is damaged.
    #[error("is not a sound MaxMind database")]
    Format(#[from] MaxMindDbError),
    /// The database has no addresses of the family that was asked for.
    #[error("has no {0} addresses")]
    OtherFamily(&'static str),
    /// No record has a country, as in a database of network names.
    #[error("has no countries")]
    NoCountries,
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
pub(super) fn decode<A: MaxmindAddress>(content: &[u8]) -> Result<CountryTable<A>, InvalidMaxmind> {
    let reader = Reader::from_source(content)?;
    if A::IS_IPV6 && reader.metadata().ip_version != 6 {
        return Err(InvalidMaxmind::OtherFamily(A::FAMILY));
    }
    let mut builder = CountryTableBuilder::with_capacity(0);
    let mut countries = RecordCountries::default();
    let mut has_networks = false;
    for (found, seen) in reader.networks(WithinOptions::default())?.zip(0..) {
        if seen == MAX_NETWORKS {
            return Err(InvalidMaxmind::TooLarge);
        }
        has_networks |= add(&mut builder, &mut countries, &found?)?;
    }
    if !has_networks {
        return Err(InvalidMaxmind::OtherFamily(A::FAMILY));
    }
    countries.check()?;
    Ok(builder.build())
}

/// Adds a network if it belongs to this family. Returns true if it does.
fn add<A: MaxmindAddress>(
    builder: &mut CountryTableBuilder<A>,
    countries: &mut RecordCountries,
    found: &LookupResult<'_, &[u8]>,
) -> Result<bool, MaxMindDbError> {
    let network = found.network()?;
    let Some((first, last)) = A::range(network.ip(), network.prefix()) else {
        return Ok(false);
    };
    // The tree is walked in order, so its networks cannot overlap.
    let in_order = builder.push(first, last, countries.of(found)?);
    debug_assert!(in_order, "networks come in order");
    Ok(true)
}

/// The countries of records, each decoded only once.
#[derive(Default)]
struct RecordCountries(HashMap<usize, CountryCode>);

impl RecordCountries {
    fn of(&mut self, found: &LookupResult<'_, &[u8]>) -> Result<CountryCode, MaxMindDbError> {
        let Some(offset) = found.offset() else {
            return Ok(CountryCode::UNKNOWN);
        };
        if let Some(country) = self.0.get(&offset) {
            return Ok(*country);
        }
        let country = country_of(found)?;
        self.0.insert(offset, country);
        Ok(country)
    }

    fn check(&self) -> Result<(), InvalidMaxmind> {
        let any = self
            .0
            .values()
            .any(|country| *country != CountryCode::UNKNOWN);
        any.then_some(()).ok_or(InvalidMaxmind::NoCountries)
    }
}

fn country_of(found: &LookupResult<'_, &[u8]>) -> Result<CountryCode, MaxMindDbError> {
    for path in COUNTRY_PATHS {
        match found.decode_path::<&str>(path) {
            Ok(Some(code)) => return Ok(code.parse().unwrap_or_default()),
            // Some makers have a text where others have a map.
            Ok(None) | Err(MaxMindDbError::Decoding { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(CountryCode::UNKNOWN)
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

//! Countries of addresses, from Tor's text files or from databases in `MaxMind`'s format,
//! and autonomous systems, from the latter.
//! The caller passes the files' content; this module opens no files.

mod country;
mod maxmind;
mod table;
mod tor_text;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use country::{CountryCode, InvalidCountryCode};
pub use maxmind::InvalidMaxmind;
use table::RangeTable;
pub use tor_text::{InvalidLine, LineFault};

/// The database files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Disables all country lookups.
    pub disable: bool,
    /// The IPv4 database.
    pub geoipdb: PathBuf,
    /// The IPv6 database.
    pub geoip6db: PathBuf,
    /// The database of autonomous systems, of both families.
    pub asndb: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disable: false,
            geoipdb: "/usr/share/tor/geoip".into(),
            geoip6db: "/usr/share/tor/geoip6".into(),
            asndb: None,
        }
    }
}

/// The countries and autonomous systems of all addresses. Initially empty, so every one is
/// unknown.
///
/// Every format is converted to sorted arrays. A file is therefore fully validated when
/// it is loaded, and a lookup cannot fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoIp {
    ipv4: RangeTable<u32, CountryCode>,
    ipv6: RangeTable<u128, CountryCode>,
    asns_ipv4: RangeTable<u32, Asn>,
    asns_ipv6: RangeTable<u128, Asn>,
}

/// The number of an autonomous system; 0 is none (RFC 7607).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asn(u32);

/// The reason for refusing a database.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDatabase {
    /// A text file has an invalid line.
    #[error(transparent)]
    Line(#[from] InvalidLine),
    /// A file in `MaxMind`'s format is damaged or has no use here.
    #[error(transparent)]
    Maxmind(#[from] InvalidMaxmind),
    /// The file has no address range; it may have been truncated.
    #[error("has no address in it")]
    Empty,
}

impl GeoIp {
    /// Replaces the IPv4 table by the content of `geoipdb`, whose format is detected. An
    /// error leaves the table unchanged.
    pub fn load_ipv4(&mut self, content: &[u8]) -> Result<(), InvalidDatabase> {
        self.ipv4 = decode(content)?;
        Ok(())
    }

    /// Replaces the IPv6 table by the content of `geoip6db` in the same way.
    pub fn load_ipv6(&mut self, content: &[u8]) -> Result<(), InvalidDatabase> {
        self.ipv6 = decode(content)?;
        Ok(())
    }

    /// Replaces the autonomous systems by the content of `asndb`, a file in `MaxMind`'s
    /// format. A file of IPv4 alone leaves those of IPv6 unknown.
    pub fn load_asns(&mut self, content: &[u8]) -> Result<(), InvalidDatabase> {
        let ipv4 = maxmind::decode(content)?;
        let ipv6 = match maxmind::decode(content) {
            Err(InvalidMaxmind::OtherFamily(_) | InvalidMaxmind::Useless(_)) => {
                RangeTable::default()
            }
            ipv6 => ipv6?,
        };
        self.asns_ipv4 = ipv4;
        self.asns_ipv6 = ipv6;
        Ok(())
    }

    /// The number of the autonomous system of `address`, which is looked up like that of a
    /// country.
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        let Asn(number) = match without_6to4(address.to_canonical()) {
            IpAddr::V4(address) => self.asns_ipv4.lookup(address.to_bits()),
            IpAddr::V6(address) => self.asns_ipv6.lookup(address.to_bits()),
        };
        (number != 0).then_some(number)
    }

    /// The country of `address`, or [`CountryCode::UNKNOWN`]. An IPv4-mapped or 6to4
    /// address is looked up as its IPv4 address.
    pub fn lookup(&self, address: IpAddr) -> CountryCode {
        match without_6to4(address.to_canonical()) {
            IpAddr::V4(address) => self.ipv4.lookup(address.to_bits()),
            IpAddr::V6(address) => self.ipv6.lookup(address.to_bits()),
        }
    }

    /// Returns true if there is a database for IPv4.
    pub fn has_ipv4(&self) -> bool {
        !self.ipv4.is_empty()
    }

    /// Returns true if there is a database for IPv6.
    pub fn has_ipv6(&self) -> bool {
        !self.ipv6.is_empty()
    }

    /// Returns true if there is a database of autonomous systems.
    pub fn has_asns(&self) -> bool {
        !self.asns_ipv4.is_empty()
    }

    /// Bytes held on the heap.
    pub fn heap_size(&self) -> usize {
        let countries = self.ipv4.heap_size() + self.ipv6.heap_size();
        countries + self.asns_ipv4.heap_size() + self.asns_ipv6.heap_size()
    }
}

/// The IPv4 address in a 6to4 address (RFC 3056, section 2), else the address itself.
/// Tor's files assign all of 6to4 to one country.
fn without_6to4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.octets() {
        [0x20, 0x02, a, b, c, d, ..] => Ipv4Addr::new(a, b, c, d).into(),
        _ => address,
    }
}

fn decode<A: maxmind::MaxmindAddress + tor_text::TorTextAddress>(
    content: &[u8],
) -> Result<RangeTable<A, CountryCode>, InvalidDatabase> {
    let table = if maxmind::is_maxmind(content) {
        maxmind::decode(content)?
    } else {
        tor_text::decode(content)?
    };
    if table.is_empty() {
        return Err(InvalidDatabase::Empty);
    }
    Ok(table)
}

#[cfg(test)]
mod tests;

//! The countries of addresses, by Tor's text files or by databases in `MaxMind`'s
//! format. Takes the content of the files, opens none itself.

mod country;
mod maxmind;
mod table;
mod tor_text;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use country::{CountryCode, InvalidCountryCode};
pub use maxmind::InvalidMaxmind;
use table::CountryTable;
pub use tor_text::{InvalidLine, LineFault};

/// The files of the databases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Look up no country at all.
    pub disable: bool,
    /// The IPv4 database.
    pub geoipdb: PathBuf,
    /// The IPv6 database.
    pub geoip6db: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disable: false,
            geoipdb: "/usr/share/tor/geoip".into(),
            geoip6db: "/usr/share/tor/geoip6".into(),
        }
    }
}

/// The countries of all addresses. Empty at first: every country is unknown.
///
/// Whatever a file's format, it is turned into sorted arrays, so that all of it
/// has been checked when it is taken, and a look-up cannot fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoIp {
    ipv4: CountryTable<u32>,
    ipv6: CountryTable<u128>,
}

/// A reason to refuse a database.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDatabase {
    /// It is text, with a line that is wrong.
    #[error(transparent)]
    Line(#[from] InvalidLine),
    /// It is in `MaxMind`'s format, and damaged or of no use here.
    #[error(transparent)]
    Maxmind(#[from] InvalidMaxmind),
    /// It has no range of addresses at all, as a file that was cut off.
    #[error("there is no address in it")]
    Empty,
}

impl GeoIp {
    /// Replaces what is known of IPv4 by the content of `geoipdb`; its format
    /// is told from the content. On an error nothing has changed.
    pub fn load_ipv4(&mut self, content: &[u8]) -> Result<(), InvalidDatabase> {
        self.ipv4 = decode(content)?;
        Ok(())
    }

    /// The same for IPv6 and `geoip6db`.
    pub fn load_ipv6(&mut self, content: &[u8]) -> Result<(), InvalidDatabase> {
        self.ipv6 = decode(content)?;
        Ok(())
    }

    /// The country of `address`, [`CountryCode::UNKNOWN`] for none. An
    /// IPv4-mapped IPv6 address, or one of 6to4, is looked up as the IPv4 address
    /// that it is.
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

    /// Bytes held on the heap.
    pub fn heap_size(&self) -> usize {
        self.ipv4.heap_size() + self.ipv6.heap_size()
    }
}

/// The IPv4 address in one of 6to4 (RFC 3056, section 2), else the address itself.
/// Tor's files have all of 6to4 in one country.
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
) -> Result<CountryTable<A>, InvalidDatabase> {
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

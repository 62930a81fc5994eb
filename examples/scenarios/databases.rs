//! Country databases as long as Tor's, so that a start reads as much on every machine.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use anyhow::Result;

/// The numbers of lines in Tor's databases of 2026.
const IPV4_RANGES: u32 = 386_000;
const IPV6_RANGES: u32 = 320_000;
const COUNTRIES: [&str; 5] = ["DE", "IR", "RU", "US", "CN"];

/// Writes `geoip` and `geoip6` into the folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let width = u32::MAX / IPV4_RANGES;
    let mut ipv4 = String::new();
    for (range, country) in (0..IPV4_RANGES).zip(COUNTRIES.iter().cycle()) {
        let first = range * width;
        writeln!(ipv4, "{first},{},{country}", first + width - 1)?;
    }
    fs::write(folder.join("geoip"), ipv4)?;
    let mut ipv6 = String::new();
    for (range, country) in (0..IPV6_RANGES).zip(COUNTRIES.iter().cycle()) {
        let first = (0x2000_0000_u128 + u128::from(range)) << 96;
        let last = first | (u128::MAX >> 32);
        let (first, last) = (Ipv6Addr::from(first), Ipv6Addr::from(last));
        writeln!(ipv6, "{first},{last},{country}")?;
    }
    fs::write(folder.join("geoip6"), ipv6)?;
    Ok(())
}

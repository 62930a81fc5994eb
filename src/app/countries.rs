//! The databases of countries and autonomous systems. The former have about 700,000 lines, so a start does not wait for
//! them.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use crate::geoip::{GeoIp, InvalidDatabase, Settings};

use crate::file_access::regular;

/// A file, and the setting that names it.
struct Database<'a> {
    key: &'static str,
    path: &'a Path,
}

/// Reads the databases. Returns their valid part and the errors, each with the setting's
/// name.
///
/// A missing database leaves its countries unknown, unless `known`, the broker's current
/// knowledge, contains them: then it is an error. So is a missing database of autonomous
/// systems, which nobody has by default.
pub(super) fn read(settings: &Settings, known: &GeoIp) -> (GeoIp, Vec<anyhow::Error>) {
    let mut geoip = GeoIp::default();
    if settings.disable {
        return (geoip, Vec::new());
    }
    let [ipv4, ipv6] = Database::named_by(settings);
    let read = [
        ipv4.read(known.has_ipv4(), |content| geoip.load_ipv4(content)),
        ipv6.read(known.has_ipv6(), |content| geoip.load_ipv6(content)),
    ];
    let asns = Database::of_asns(settings);
    let asns = asns.map(|asns| asns.read(true, |content| geoip.load_asns(content)));
    let read = read.into_iter().chain(asns);
    (geoip, read.filter_map(Result::err).collect())
}

impl<'a> Database<'a> {
    /// The databases of IPv4 and IPv6.
    fn named_by(settings: &'a Settings) -> [Self; 2] {
        [
            ("geoip.geoipdb", &settings.geoipdb),
            ("geoip.geoip6db", &settings.geoip6db),
        ]
        .map(|(key, path)| Self { key, path })
    }

    fn of_asns(settings: &'a Settings) -> Option<Self> {
        settings.asndb.as_deref().map(|path| Self {
            key: "geoip.asndb",
            path,
        })
    }

    fn read(
        &self,
        was_there: bool,
        load: impl FnOnce(&[u8]) -> Result<(), InvalidDatabase>,
    ) -> anyhow::Result<()> {
        let content = match regular::read(self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !was_there => return Ok(()),
            read => read.with_context(|| self.name())?,
        };
        load(&content).with_context(|| self.name())
    }

    fn name(&self) -> String {
        format!("{}: {}", self.key, self.path.display())
    }
}

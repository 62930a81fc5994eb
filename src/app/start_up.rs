//! What keeps a broker from starting, said so that an operator can act on it:
//! one line with the setting's name.

use std::io::{self, ErrorKind};

use anyhow::anyhow;
use rustix::io::Errno;

use crate::broker::clock;
use crate::config::Config;
use crate::geoip::GeoIp;

use super::{admin, books, certificates, countries, federation, queues, reload};

/// A file that the configuration names cannot be used. Like a wrong value, and
/// unlike a port that is taken, it stays so however often the broker is started.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(super) struct WrongConfiguration(anyhow::Error);

/// Says of an error that the configuration is to blame.
pub(super) fn blame_configuration(error: anyhow::Error) -> anyhow::Error {
    WrongConfiguration(error).into()
}

/// Tries all files and directories that the configuration names, as the start
/// does, and the country databases, which it does not wait for. The result is what
/// the start would warn of; the error has a line for each part in which something is
/// wrong.
pub(super) fn check_files(config: &Config) -> anyhow::Result<Vec<String>> {
    let parts = [
        certificates::check_files(config),
        reload::knowledge(config).map(drop).map_err(Into::into),
        books::check(&config.metrics),
        admin::access(&config.admin).map(drop),
        federation::tls(&config.federation).map(drop),
        queues::check(&config.sqs),
    ];
    let (_, wrong_databases) = countries::read(&config.geoip, &GeoIp::default());
    let wrong = parts.into_iter().filter_map(Result::err);
    let wrong = wrong.chain(wrong_databases);
    let wrong: Vec<String> = wrong.map(|error| format!("{error:#}")).collect();
    if wrong.is_empty() {
        return Ok(certificates::warnings(config, clock::wall_clock()));
    }
    Err(blame_configuration(anyhow!(wrong.join("\n"))))
}

/// Why the address of a setting cannot be listened on, and a way out.
pub(super) fn cannot_listen(setting: &str, addr: &str, error: &io::Error) -> anyhow::Error {
    let way_out = match error.kind() {
        ErrorKind::AddrInUse => "; another program listens there, `ss -ltnp` names it",
        ErrorKind::PermissionDenied => {
            "; a low port needs the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= of \
             systemd) or a socket that systemd opens (socket activation)"
        }
        ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) => {
            "; this machine has no addresses of that kind (IPv6 is off)"
        }
        _ => "",
    };
    anyhow!("{setting}: cannot listen on {addr}: {error}{way_out}")
}

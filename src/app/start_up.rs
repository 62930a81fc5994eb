//! What keeps a broker from starting, said so that an operator can act on it:
//! one line with the setting's name.

use std::io::{self, ErrorKind};

use anyhow::anyhow;
use rustix::io::Errno;

use crate::broker::clock;
use crate::config::{Config, Loaded};
use crate::geoip::GeoIp;

use super::{
    accounts, admin, certificates, countries, exposed, federation, otel, persistence, queues,
    reload,
};

/// A file that the configuration names cannot be used. Like a wrong value, and
/// unlike a port that is taken, it stays so however often the broker is started.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct WrongConfiguration(anyhow::Error);

/// Says of an error that the configuration is to blame.
pub(super) fn blame_configuration(error: anyhow::Error) -> anyhow::Error {
    WrongConfiguration(error).into()
}

/// The warnings about this machine's bounds and files, beside what is
/// wrong in them.
pub(crate) fn warnings(loaded: &Loaded) -> Vec<String> {
    let bounds = accounts::warning(&loaded.config).into_iter();
    bounds.chain(exposed::warnings(loaded)).collect()
}

/// Tries all files and directories that the configuration names, as the start
/// does, and the country databases, which it does not wait for. Returns what a start
/// would warn of, and what it would refuse: a line for each part in which something
/// is wrong.
pub(crate) fn check_files(config: &Config) -> (Vec<String>, anyhow::Result<()>) {
    let known = reload::knowledge(config);
    let mut warnings: Vec<String> = match &known {
        Ok(known) => known.warnings().map(ToOwned::to_owned).collect(),
        Err(_) => Vec::new(),
    };
    let (_, wrong_databases) = countries::read(&config.geoip, &GeoIp::default());
    let wrong_databases = wrong_databases.iter();
    warnings.extend(wrong_databases.map(|error| format!("countries stay unknown: {error:#}")));
    warnings.extend(persistence::check(&config.metrics));
    warnings.extend(otel::check(&config.otel));
    warnings.extend(queues::warnings(&config.sqs));
    warnings.extend(admin::warning(&config.admin));
    warnings.extend(certificates::warnings(config, clock::wall_clock()));
    warnings.extend(certificates::cache_warning(&config.acme));
    let parts = [
        certificates::check_files(config),
        certificates::check_cache(&config.acme),
        known.map(drop).map_err(Into::into),
        admin::access(&config.admin).map(drop),
        admin::check(&config.admin),
        federation::tls(&config.federation).map(drop),
        queues::check(&config.sqs),
    ];
    let wrong = parts.into_iter().filter_map(Result::err);
    let wrong: Vec<String> = wrong.map(|error| format!("{error:#}")).collect();
    let checked = match &wrong[..] {
        [] => Ok(()),
        wrong => Err(blame_configuration(anyhow!(wrong.join("\n")))),
    };
    (warnings, checked)
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

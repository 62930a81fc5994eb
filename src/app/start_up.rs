//! The checks of a start, told so that an operator can act on them: one line with
//! the setting's name.

use anyhow::anyhow;

use crate::broker::clock;
use crate::config::{Config, Loaded};
use crate::geoip::GeoIp;

use super::files::blame_configuration;
use super::{
    accounts, admin, certificates, countries, exposed, federation, otel, persistence, queues,
    reload,
};

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
        admin::access::read(&config.admin).map(drop),
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

//! The check of a configuration on the machine where the broker will run: everything that
//! a start reads, and the addresses that it listens on.

use anyhow::{Context as _, anyhow};
use tokio::runtime;
use tokio::task::spawn_blocking;

use crate::causes::with_causes;
use crate::config::{self, Config, Loaded};
use crate::geoip::GeoIp;
use crate::listener;

use super::files::blame_configuration;
use super::listen::could_not_listen;
use super::{admin, components, countries, queues};

/// Does everything that a start does, short of listening, without changing anything.
/// Reports the warnings of a start, and those about files for which a start does not wait.
///
/// # Errors
/// Returns a line for each problem that prevents a start. Addresses are tried only if
/// everything else is valid.
pub(crate) fn check(loaded: &Loaded, tell: impl Fn(&str)) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let (warnings, wrong) = runtime.block_on(try_all(loaded))?;
    for warning in warnings {
        tell(&warning);
    }
    match &wrong[..] {
        [] => Ok(()),
        wrong => Err(blame_configuration(anyhow!(wrong.join("\n")))),
    }
}

async fn try_all(loaded: &Loaded) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let config = &loaded.config;
    let reading = loaded.clone();
    let read = spawn_blocking(move || components::read(&reading)).await;
    let (mut warnings, readings) = read.context("cannot read the files")?;
    let (_, wrong_databases) = countries::read(&config.geoip, &GeoIp::default());
    let wrong_databases = wrong_databases.iter();
    warnings.extend(
        wrong_databases
            .map(|error| format!("{} (countries stay unknown)", with_causes(error.as_ref()))),
    );
    warnings.extend(queues::warnings(&config.sqs).await);
    warnings.extend(admin::warning(&config.admin));
    let errors = [readings.err(), admin::check(&config.admin).err()]
        .into_iter()
        .flatten();
    let mut wrong: Vec<String> = errors.map(|error| with_causes(error.as_ref())).collect();
    if wrong.is_empty() {
        try_addresses(config, &mut warnings, &mut wrong).await;
    }
    Ok((warnings, wrong))
}

/// Binds each address for a moment, except those that the service manager opens. An
/// address in use counts as free: the broker itself may be running.
async fn try_addresses(config: &Config, warnings: &mut Vec<String>, wrong: &mut Vec<String>) {
    for place in config::listening_places(config) {
        let Err(error) = listener::try_bind(place.addr).await else {
            continue;
        };
        let problem = could_not_listen(place.key, place.addr, &error);
        if place.is_optional {
            warnings.push(format!("{problem}, so {}", config::WITHOUT_HTTP_01));
        } else {
            wrong.push(problem.to_string());
        }
    }
}

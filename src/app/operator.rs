//! The operator's side of the administration: `snowflake-broker admin`.
//!
//! [`target`] finds the broker, [`connection`] calls it, [`calls`] does what was
//! asked for, and [`text`] has what people read of the answers. [`watch`] shows
//! them live.

mod calls;
mod connection;
mod failure;
mod output;
mod target;
mod text;
mod watch;

use std::time::Duration;

use tokio::runtime;

use crate::config::Inputs;

use super::cli::admin::{Admin, Bridges, Call};

pub(super) use failure::Failure;

use connection::{Credentials, RemoteBroker};
use output::Output;
use target::Target;

/// How long a call may take unless somebody says.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a broker what the command line says, and prints its answer. `inputs`
/// may name where it listens.
pub(super) fn run(asked: &Admin, inputs: &Inputs) -> Result<(), Failure> {
    match ask(asked, inputs) {
        Err(Failure::NoReader) => Ok(()),
        asked => asked,
    }
}

fn ask(asked: &Admin, inputs: &Inputs) -> Result<(), Failure> {
    let output = Output::new(asked.json)?;
    if let Call::Bridges(Bridges::Check { file }) = &asked.call {
        return calls::check_bridges(file, &output, inputs);
    }
    let target = Target::find(&asked.connection, inputs)?;
    let credentials = Credentials::read(&asked.connection)?;
    let timeout = asked.connection.timeout.unwrap_or(TIMEOUT);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::Local)?;
    runtime.block_on(async {
        let mut broker = RemoteBroker::connect(&target, credentials, timeout).await?;
        calls::make(&asked.call, &mut broker, &output, inputs).await
    })
}

//! The operator's side of the administration: `snowflake-broker admin`.
//!
//! [`address`] finds the broker, [`connection`] connects to it, [`calls`] makes the
//! requested call, and [`text`] formats the response for people. [`watch`] shows it live.

mod address;
pub mod arguments;
mod bridges;
mod calls;
mod connection;
mod diagnosis;
mod failure;
mod output;
mod policy;
mod policy_file;
mod pools;
mod supply;
mod text;
mod watch;

use std::time::Duration;

use tokio::runtime;

use crate::config::Inputs;

pub use arguments::AdminArgs;
pub(crate) use failure::Failure;

use address::BrokerAddress;
use arguments::{AdminCall, BridgesCall};
use connection::{Credentials, RemoteBroker};
use output::Printer;

/// The default time limit for a call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the call in the command line, and prints the response. `inputs` may provide the
/// broker's address.
pub(crate) fn run(asked: &AdminArgs, inputs: &Inputs) -> Result<(), Failure> {
    match ask(asked, inputs) {
        Err(Failure::NoReader) => Ok(()),
        asked => asked,
    }
}

fn ask(asked: &AdminArgs, inputs: &Inputs) -> Result<(), Failure> {
    let output = Printer::new(asked.json);
    if let AdminCall::Bridges(BridgesCall::Check { file }) = &asked.call {
        return bridges::check(file, &output, inputs);
    }
    let target = BrokerAddress::find(&asked.connection, inputs)?;
    let credentials = Credentials::read(&asked.connection)?;
    let timeout = asked.connection.timeout.unwrap_or(TIMEOUT);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Local)?;
    runtime.block_on(async {
        let mut broker = RemoteBroker::connect(&target, credentials, timeout).await?;
        calls::make(&asked.call, &mut broker, &output, inputs).await
    })
}

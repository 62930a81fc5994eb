//! Live display of the broker's status.

mod terminal;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};

use tonic::Streaming;

use crate::admin_client::arguments::WatchArgs;
use crate::config::Inputs;
use crate::proto::admin::v1::{BrokerStatus, WatchStatusRequest};

use super::connection::{AuthorizedClient, RemoteBroker, duration};
use super::failure::Failure;
use super::output::Printer;
use super::text::{self, History};

use terminal::{Terminal, TerminalEvent};

/// Shows every status: live in a terminal, or else as a line each.
pub(super) async fn watch(
    asked: &WatchArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
    inputs: &Inputs,
) -> Result<(), Failure> {
    let request = WatchStatusRequest {
        interval: Some(duration(asked.interval)?),
    };
    let statuses = broker
        .subscribe(AuthorizedClient::watch_status, request)
        .await?;
    let mut statuses = StatusStream {
        statuses,
        left: asked.count.map_or(usize::MAX, Into::into),
    };
    if !output.is_json() && io::stdout().is_terminal() && can_move(inputs) {
        return live(&mut statuses).await;
    }
    while let Some(status) = statuses.next().await? {
        output.show(&status, text::line)?;
    }
    Ok(())
}

/// Returns true if the terminal can move the cursor; an editor's, for example, may not.
fn can_move(inputs: &Inputs) -> bool {
    let mut variables = inputs.environment.iter();
    let kind = variables.find(|(name, _)| name == "TERM");
    kind.is_some_and(|(_, kind)| kind != OsStr::new("dumb"))
}

async fn live(statuses: &mut StatusStream) -> Result<(), Failure> {
    let mut terminal = Terminal::open()?;
    let mut history = History::default();
    let mut newest = None;
    loop {
        tokio::select! {
            status = statuses.next() => match status? {
                Some(status) => {
                    history.note(&status);
                    newest = Some(status);
                }
                None => return Ok(()),
            },
            event = terminal.event() => match event {
                TerminalEvent::Resized => {}
                TerminalEvent::Ended => return Ok(()),
            },
        }
        if let Some(status) = &newest {
            terminal.show(|width, height| text::screen(status, &history, width, height))?;
        }
    }
}

/// The statuses from the broker, at most the requested number.
struct StatusStream {
    statuses: Streaming<BrokerStatus>,
    left: usize,
}

impl StatusStream {
    /// The next status; `None` after the last. Cancel-safe.
    async fn next(&mut self) -> Result<Option<BrokerStatus>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        let status = self.statuses.message().await.map_err(Failure::end)?;
        self.left -= 1;
        status.map(Some).ok_or(Failure::Ended)
    }
}

//! Log lines for refused requests, limited in number because anyone can provoke refusals.

use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

use tracing::Level;

use crate::broker::clock;
use crate::metrics::labels::{Refusal, Request};
use crate::telemetry::{Kind, LogLimit};

const PERIOD: Duration = Duration::from_mins(1);
const LINES: u32 = 10;

static PROXY_POLLS: LazyLock<LogLimit> = LazyLock::new(|| limit("refused polls of proxies"));
static CLIENT_POLLS: LazyLock<LogLimit> = LazyLock::new(|| limit("refused polls of clients"));
static PROXY_ANSWERS: LazyLock<LogLimit> = LazyLock::new(|| limit("refused answers of proxies"));

fn limit(gist: &'static str) -> LogLimit {
    LogLimit::new(Kind::new(Level::INFO, gist), LINES, PERIOD)
}

/// Logs the refusal of a request, up to 10 a minute. `reason` must not contain what the
/// remote end sent, except its relay pattern.
pub fn log(request: Request, reason: &dyn Display) {
    let (what, limit) = match request {
        Request::ProxyPoll => ("a proxy's poll", &PROXY_POLLS),
        Request::ClientPoll => ("a client's poll", &CLIENT_POLLS),
        Request::ProxyAnswer => ("a proxy's answer", &PROXY_ANSWERS),
    };
    if let Some(suppressed) = limit.admit(clock::now()) {
        tracing::info!(suppressed, "refused {what}: {reason}");
    }
}

/// Logs a refusal because too many requests came from one address.
pub fn log_limit(request: Request) {
    let setting = match request {
        Request::ProxyPoll => "limits.proxy_polls_per_minute",
        Request::ClientPoll => "limits.client_polls_per_minute",
        Request::ProxyAnswer => "limits.answers_per_minute",
    };
    log(request, &format_args!("its address is over {setting}"));
}

/// Logs that the matching engine turned a proxy's poll away.
pub fn log_share(reason: Refusal) {
    let limit = match reason {
        Refusal::SourceMatches => "its source is over supply.matches_per_minute",
        Refusal::SourceResting => "its source has failed several times in a row",
        Refusal::SourceUnanswered => "its source is over supply.unanswered",
        Refusal::SourceParked => "its source is over supply.parked_per_source",
        Refusal::NetworkShare => "its network is over supply.sources_per_network",
        _ => "too many polls are parked (matching.max_parked_polls)",
    };
    log(Request::ProxyPoll, &limit);
}

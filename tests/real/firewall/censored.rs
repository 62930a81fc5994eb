//! Debian's clients in the country, each of which greets the bridge.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::Result;
use snowflake_broker::broker::clock;

use super::border;
use crate::greetings::{Greetings, greeting};
use crate::support::namespace::inside;
use crate::support::process::Process;
use crate::support::programs::Programs;
use crate::support::ready::socks_address;
use crate::support::wait;

/// Parts of a client's log: the broker has responded, a proxy has answered.
const HAS_RESPONSE: &str = "rendezvous response";
const HAS_ANSWER: &str = "Received Answer.";

/// A client, and the program that sends its greeting.
pub(super) struct Censored {
    number: usize,
    began: Instant,
    client: Process,
    _greeter: Process,
}

/// A client's way to the bridge.
#[derive(Clone, Copy)]
pub(super) struct Journey {
    /// The proxies that it has tried, of which the last may have worked. An offer that it
    /// sends before it knows its NAT is refused at once, as no proxy here is open, and does
    /// not count.
    pub(super) tries: usize,
    /// The time from its start until its greeting was at the bridge, if it is there.
    pub(super) time: Option<Duration>,
}

impl fmt::Display for Journey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => write!(f, "{} proxies in {:.1} s", self.tries, time.as_secs_f64()),
            None => write!(f, "{} proxies in vain", self.tries),
        }
    }
}

impl Censored {
    /// Starts a client, and waits until the broker has responded to its first offer.
    pub(super) async fn start(
        programs: &Programs<'_>,
        number: usize,
        broker: SocketAddr,
    ) -> Result<Self> {
        let home = border::home(number);
        let folder = programs.scratch.join(&home);
        fs::create_dir(&folder)?;
        let programs = Programs { scratch: &folder };
        let began = clock::now();
        let mut client =
            programs.client_in(&home, &["-url".to_owned(), format!("http://{broker}/")])?;
        let socks = socks_address(&mut client).await?;
        // Its SOCKS port is open in its namespace only. The greeting is within a request.
        let mut curl = inside(&home);
        curl.args(["curl", "--silent", "--socks5-hostname", &socks])
            .arg(format!("http://192.0.2.1:1/{}", greeting(number)));
        let greeter = programs.start("greeter", &mut curl)?;
        wait::until("the broker responds to a client", async || {
            Ok(client.log()?.contains(HAS_RESPONSE).then_some(()))
        })
        .await?;
        Ok(Self {
            number,
            began,
            client,
            _greeter: greeter,
        })
    }

    pub(super) fn has_arrived(&self, greetings: &Greetings) -> bool {
        greetings.arrived_at(self.number).is_some()
    }

    /// The way to the bridge so far.
    pub(super) fn journey(&mut self, greetings: &Greetings) -> Result<Journey> {
        let arrived = greetings.arrived_at(self.number);
        Ok(Journey {
            tries: self.client.log()?.matches(HAS_ANSWER).count(),
            time: arrived.map(|arrived| arrived - self.began),
        })
    }
}

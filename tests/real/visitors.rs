//! Debian's clients, one after the other, each of which greets the bridge and leaves.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_socks::tcp::Socks5Stream;

use crate::greetings::{Greetings, greeting};
use crate::network;
use crate::support::programs::Programs;
use crate::support::ready::socks_port;
use crate::support::relay::Relay;
use crate::support::wait;

/// The number of clients at a time.
const AT_ONCE: usize = 2;
/// The time between two of them. There are polls enough of the proxies that work, each of
/// which polls every 5 s.
const PAUSE: Duration = Duration::from_secs(2);

/// The clients that come and go until [`Self::end`].
pub(crate) struct Visitors {
    state: Arc<State>,
    tasks: JoinSet<Result<()>>,
}

struct State {
    started: AtomicUsize,
    served: AtomicUsize,
    greetings: Greetings,
}

impl Visitors {
    pub(crate) fn start(programs: &Programs<'_>, relay: Relay, port: u16) -> Self {
        let state = Arc::new(State {
            started: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            greetings: Greetings::listen(relay),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let scratch = programs.scratch.to_owned();
            tasks.spawn(visit_again_and_again(scratch, port, Arc::clone(&state)));
        }
        Self { state, tasks }
    }

    /// The number of clients that have reached the bridge.
    pub(crate) fn served(&self) -> usize {
        self.state.served.load(Ordering::Relaxed)
    }

    /// Ends all. An error if one has ended before.
    pub(crate) async fn end(mut self) -> Result<()> {
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
            bail!("the clients have ended");
        }
        self.tasks.shutdown().await;
        Ok(())
    }
}

async fn visit_again_and_again(scratch: PathBuf, port: u16, state: Arc<State>) -> Result<()> {
    loop {
        let number = state.started.fetch_add(1, Ordering::Relaxed);
        let address = address_of(number)?;
        network::add_address(address).await?;
        let visit = visit(&scratch, (address, port).into(), number, &state);
        timeout(wait::LONG_ENOUGH, visit)
            .await
            .context("a greeting does not arrive at the bridge")??;
        network::remove_address(address).await?;
        state.served.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

/// The address of a client, which no other has.
fn address_of(number: usize) -> Result<Ipv4Addr> {
    let [third, fourth] = [number / 200, 20 + number % 200].map(u8::try_from);
    Ok(Ipv4Addr::new(10, 99, 10 + third?, fourth?))
}

/// A client greets the bridge. It reaches the broker at its own address.
async fn visit(scratch: &Path, broker: SocketAddr, number: usize, state: &State) -> Result<()> {
    let folder = scratch.join(format!("client-{number}"));
    fs::create_dir(&folder)?;
    let client = Programs { scratch: &folder };
    let mut client = client.client(&["-url".to_owned(), format!("http://{broker}/")])?;
    let socks = loop {
        if let Some(address) = socks_port(&client.log()?) {
            break address;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let mut socks = Socks5Stream::connect(socks.as_str(), "192.0.2.1:1").await?;
    socks.write_all(greeting(number).as_bytes()).await?;
    while state.greetings.arrived_at(number).is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

//! An in-memory network. Links can be cut and repaired.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper_util::rt::TokioIo;
use snowflake_broker::federation::dial::Dialing;
use snowflake_broker::federation::{Dial, DialTarget, Dialed};
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::support::wire::Wire;

/// The number of bytes in transit in each direction.
const IN_FLIGHT: usize = 64 * 1024;

/// The listeners by name. A broker's address is its name.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    listeners: BTreeMap<String, mpsc::Sender<io::Result<Wire<DuplexStream>>>>,
    cables: Vec<Cable>,
    isolated: BTreeSet<String>,
}

/// A connection between two brokers.
struct Cable {
    ends: [String; 2],
    /// Cuts the connection silently: nothing gets through any more.
    frozen: Arc<Notify>,
    relay: AbortHandle,
}

impl Network {
    /// Listens under a name until the stream is dropped.
    pub(crate) fn listen(&self, name: &str) -> ReceiverStream<io::Result<Wire<DuplexStream>>> {
        let (sender, incoming) = mpsc::channel(16);
        self.state().listeners.insert(name.to_owned(), sender);
        ReceiverStream::new(incoming)
    }

    /// The network from the view of the broker with this name.
    pub(crate) fn of(&self, name: &str) -> Arc<dyn Dial> {
        Arc::new(Dialer {
            network: self.clone(),
            name: name.to_owned(),
        })
    }

    /// A channel from a caller that is not a broker but has the name of one.
    pub(crate) async fn channel(&self, from: &str, to: &str) -> Channel {
        let dialed = self.connect(from, to).await.unwrap();
        let mut stream = Some(TokioIo::new(dialed.stream));
        let connector = service_fn(move |_| ready(stream.take().ok_or("there is only one")));
        let endpoint = Endpoint::from_static("http://peer");
        endpoint.connect_with_connector(connector).await.unwrap()
    }

    /// Silently cuts this broker off from now on.
    pub(crate) fn isolate(&self, name: &str) {
        let mut state = self.state();
        state.isolated.insert(name.to_owned());
        let cables = state.cables.iter();
        for cable in cables.filter(|cable| cable.ends.iter().any(|end| end == name)) {
            cable.frozen.notify_one();
        }
    }

    /// Lets new connections through again.
    pub(crate) fn mend(&self, name: &str) {
        self.state().isolated.remove(name);
    }

    /// Removes the broker with this name: its connections are reset, and it stops
    /// listening.
    pub(crate) fn kill(&self, name: &str) {
        let mut state = self.state();
        state.listeners.remove(name);
        state.cables.retain(|cable| {
            let is_its = cable.ends.iter().any(|end| end == name);
            if is_its {
                cable.relay.abort();
            }
            !is_its
        });
    }

    fn cable(&self, ends: [String; 2]) -> (DuplexStream, DuplexStream) {
        let (here, mut near) = duplex(IN_FLIGHT);
        let (mut far, there) = duplex(IN_FLIGHT);
        let frozen = Arc::new(Notify::new());
        let is_frozen = Arc::clone(&frozen);
        let relay = tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = is_frozen.notified() => std::future::pending().await,
            }
        });
        self.state().cables.push(Cable {
            ends,
            frozen,
            relay: relay.abort_handle(),
        });
        (here, there)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn connect(&self, from: &str, to: &str) -> io::Result<Dialed> {
        let is_isolated = {
            let state = self.state();
            [from, to].iter().any(|end| state.isolated.contains(*end))
        };
        if is_isolated {
            std::future::pending::<()>().await;
        }
        let listener = self
            .state()
            .listeners
            .get(to)
            .cloned()
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        let (here, there) = self.cable([from.to_owned(), to.to_owned()]);
        let wire = Wire {
            stream: there,
            names: [from.to_owned()].into(),
            is_loopback: true,
            _with: (),
        };
        let sent = listener.send(Ok(wire)).await;
        sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Dialed {
            stream: Box::new(here),
            names: vec![to.to_owned()],
        })
    }
}

struct Dialer {
    network: Network,
    name: String,
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, target: &'a DialTarget) -> Dialing<'a> {
        Box::pin(self.network.connect(&self.name, &target.addr))
    }
}

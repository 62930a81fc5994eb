//! Connections over simulated TCP. Instead of certificates, which would take more time
//! than everything else, each side sends its name in a first line.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use snowflake_broker::federation::dial::Dialing;
use snowflake_broker::federation::{Dial, DialTarget, Dialed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_stream::Stream;
use turmoil::net::{TcpListener, TcpStream};

use crate::support::wire::Wire;

/// The port of all brokers.
const PORT: u16 = 7443;
/// The time in which a caller must send its name and begin, as over TLS.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name, in bytes.
const NAME_MAX: usize = 64;
/// The maximum number of callers that have not sent their name.
const CALLERS_MAX: usize = 64;

/// The address of a broker.
pub(crate) fn addr(name: &str) -> String {
    format!("{name}:{PORT}")
}

/// Counts a connection while it is open.
pub(crate) struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(wires: &Arc<AtomicUsize>) -> Self {
        wires.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(wires))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections under this name, and counts the open ones.
pub(crate) async fn listen(
    name: String,
    wires: Arc<AtomicUsize>,
) -> io::Result<impl Stream<Item = io::Result<Wire<TcpStream, Open>>> + Send> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let accepted = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await;
        Some((accepted, listener))
    });
    let introduced = accepted
        .map(move |accepted| {
            let (name, wires) = (name.clone(), Arc::clone(&wires));
            async move {
                let (mut stream, _) = accepted?;
                let open = Open::count(&wires);
                let begin = async {
                    let caller = introduce(&mut stream, &name).await?;
                    stream.peek(&mut [0]).await?;
                    io::Result::Ok(caller)
                };
                let caller = timeout(BEGIN_TIMEOUT, begin).await??;
                Ok(Wire {
                    stream,
                    names: [caller].into(),
                    is_loopback: false,
                    _with: open,
                })
            }
        })
        .buffer_unordered(CALLERS_MAX);
    // Callers that do not begin are ignored.
    Ok(introduced.filter(|wire| std::future::ready(wire.is_ok())))
}

/// Connects, and identifies the other side.
pub(crate) async fn connect(own: &str, addr: &str) -> io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let name = introduce(&mut stream, own).await?;
    Ok((stream, name))
}

/// Sends our name, and receives the other's.
async fn introduce(stream: &mut TcpStream, own: &str) -> io::Result<String> {
    stream.write_all(format!("{own}\n").as_bytes()).await?;
    let mut name = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if name.len() == NAME_MAX => return Err(io::ErrorKind::InvalidData.into()),
            byte => name.push(byte),
        }
    }
    String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The network from the view of the broker with this name.
pub(crate) struct Dialer(pub(crate) String);

impl Dial for Dialer {
    fn dial<'a>(&'a self, target: &'a DialTarget) -> Dialing<'a> {
        Box::pin(async {
            let (stream, name) = connect(&self.0, &target.addr).await?;
            Ok(Dialed {
                stream: Box::new(stream),
                names: vec![name],
            })
        })
    }
}

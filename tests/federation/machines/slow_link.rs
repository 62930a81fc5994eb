//! A link that can be slowed down, like `tc netem delay` on kernels that have it: here
//! the bytes of TCP connections are delayed, but not the handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use snowflake_broker::broker::clock;

/// The time of arrival, and the bytes.
type Packet = (Instant, Vec<u8>);

/// The maximum number of packets in transit in one direction of a connection.
const PACKETS_MAX: usize = 1_000;
const PACKET_BYTES: usize = 16 * 1024;

/// The delay of a packet in milliseconds, by direction.
#[derive(Debug, Default)]
struct Delays {
    there: AtomicU64,
    back: AtomicU64,
}

/// A detour to a listener.
pub(crate) struct SlowLink(Arc<Delays>);

impl SlowLink {
    /// Forwards connections from `here`, at first without delay.
    pub(crate) async fn open(here: SocketAddr, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(here).await?;
        let delays = Arc::<Delays>::default();
        tokio::spawn(serve(listener, target, Arc::clone(&delays)));
        Ok(Self(delays))
    }

    /// Sets the delay of a packet in each direction.
    pub(crate) fn delay(&self, there: Duration, back: Duration) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        self.0.there.store(milliseconds(there), Ordering::Relaxed);
        self.0.back.store(milliseconds(back), Ordering::Relaxed);
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, delays: Arc<Delays>) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(pass_on(connection, target, Arc::clone(&delays)));
    }
}

async fn pass_on(connection: TcpStream, target: SocketAddr, delays: Arc<Delays>) -> Result<()> {
    let (requests, to_client) = connection.into_split();
    let (replies, to_server) = TcpStream::connect(target).await?.into_split();
    tokio::try_join!(
        carry(requests, to_server, &delays.there),
        carry(replies, to_client, &delays.back),
    )?;
    Ok(())
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: &AtomicU64,
) -> Result<()> {
    let (sender, mut packets) = mpsc::channel::<Packet>(PACKETS_MAX);
    let take = async move {
        let mut buffer = vec![0; PACKET_BYTES];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let delay = Duration::from_millis(delay.load(Ordering::Relaxed));
            let arrives = Instant::from_std(clock::now() + delay);
            sender.send((arrives, buffer[..count].to_vec())).await?;
        }
    };
    let give = async {
        while let Some((arrives, bytes)) = packets.recv().await {
            sleep_until(arrives).await;
            to.write_all(&bytes).await?;
        }
        Ok(to.shutdown().await?)
    };
    tokio::try_join!(take, give).map(drop)
}

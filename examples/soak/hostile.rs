//! Hostile connections, of the shapes of `tests/hostile`, to A's port with TLS: one after the
//! other on each of a few at once, from one address and from the network around another.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;

use crate::caller::Front;
use crate::configs::POOL;
use crate::documents::documents;
use crate::load::World;
use crate::network::{PORT, STRANGER, connect_to, stranger_v6};
use crate::requests_in_requests::{SMUGGLED, ambiguous};
use crate::shapes::{self, ENDLESS_HEAD, SLOW_BODY, SLOW_HEAD};
use crate::support::closing::read_to_end;
use crate::support::peer::Peer;
use crate::tally::{Fate, Kind};

/// Number of hostile connections at a time, one of each shape.
pub(crate) const AT_ONCE: usize = 10;
/// Connections of one flood.
const FLOOD: usize = 50;

/// Attacks until the load ends, with the shape of this number first.
pub(crate) async fn attack(world: Arc<World>, a: Front, first: usize) {
    for number in first.. {
        let from = match number % 2 {
            0 => IpAddr::V4(STRANGER),
            _ => stranger_v6(fastrand::u16(..)),
        };
        let shape = number % AT_ONCE;
        // A connection may be refused.
        world
            .ending
            .run_until_cancelled(Box::pin(once(&world, &a, shape, from)))
            .await;
        if !world.pause(300..900).await {
            return;
        }
    }
}

async fn once(world: &World, a: &Front, shape: usize, from: IpAddr) -> Result<()> {
    let unfinished = |kind, count| world.tally.add_many(kind, Fate::Unfinished, count);
    match shape {
        0 => half_a_handshake(from).await,
        1 => {
            let mut stream = a.tls(from, false).await?;
            stream.write_all(SLOW_HEAD).await?;
            shapes::trickle(stream, b"a").await;
            Ok(())
        }
        2 => {
            let mut stream = a.tls(from, false).await?;
            unfinished(Kind::Proxy, 1);
            stream.write_all(SLOW_BODY).await?;
            let reply = shapes::trickle(stream, b" ").await;
            if reply.starts_with("HTTP/1.1 400") {
                let refused = Fate::Known("refused");
                world.tally.correct(Kind::Proxy, Fate::Unfinished, refused);
            }
            Ok(())
        }
        3 => {
            let mut stream = a.tls(from, true).await?;
            // The books of the pool alone have to allow for these.
            unfinished(Kind::PoolClient, shapes::STREAMS.into());
            shapes::open_and_take_back(&mut stream, &format!("{POOL}/client")).await;
            Ok(())
        }
        4 => {
            shapes::never_end_a_head(&mut a.tls(from, true).await?).await;
            Ok(())
        }
        5 => {
            shapes::err(&mut a.tls(from, true).await?).await;
            Ok(())
        }
        6 => {
            let mut stream = a.tls(from, false).await?;
            stream.write_all(ENDLESS_HEAD).await?;
            shapes::flood(&mut stream, &[b'a'; 16_000]).await;
            Ok(())
        }
        7 => worst_document(world, a, from).await,
        8 => request_in_request(world, a, from).await,
        _ => flood(from).await,
    }
}

/// A handshake of which nothing, a half or the first message comes.
async fn half_a_handshake(from: IpAddr) -> Result<()> {
    let hello = shapes::tls_hello();
    let sent = fastrand::usize(..3) * hello.len() / 2;
    let mut stream = connect_to(PORT, from).await?;
    stream.write_all(&hello[..sent]).await?;
    read_to_end(&mut stream).await;
    Ok(())
}

/// A poll that is expensive to read.
async fn worst_document(world: &World, a: &Front, from: IpAddr) -> Result<()> {
    let stream = a.tls(from, false).await?;
    world.tally.add(Kind::Proxy, Fate::Unfinished);
    let mut documents = documents();
    let (_, document) = documents.swap_remove(fastrand::usize(..documents.len()));
    let mut peer = Peer::http1_over(stream).await;
    let (status, _) = peer.try_post("/proxy", document).await?;
    if status == 400 {
        let refused = Fate::Known("refused");
        world.tally.correct(Kind::Proxy, Fate::Unfinished, refused);
    }
    Ok(())
}

/// A poll that holds a request, which nobody may answer.
async fn request_in_request(world: &World, a: &Front, from: IpAddr) -> Result<()> {
    let mut stream = a.tls(from, false).await?;
    world.tally.add(Kind::Proxy, Fate::Unfinished);
    let shapes = ambiguous("/proxy");
    let shape = &shapes[fastrand::usize(..shapes.len())];
    stream.write_all(shape.as_bytes()).await?;
    if read_to_end(&mut stream).await.contains(SMUGGLED) {
        world.tally.add(Kind::Proxy, Fate::Wrong);
    }
    Ok(())
}

/// Connections that are opened and reset.
async fn flood(from: IpAddr) -> Result<()> {
    for _ in 0..FLOOD {
        connect_to(PORT, from).await?.set_zero_linger()?;
    }
    Ok(())
}

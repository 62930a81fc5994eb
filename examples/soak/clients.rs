//! Clients: honest ones, and those that leave, are malformed or ask for unknown bridges.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::caller::{CACHE, Caller, Front, Reply};
use crate::load::World;
use crate::network::somebody;
use crate::tally::{Fate, Kind};

/// The numbers of clients' addresses, beyond those of proxies. Nearly all have come within the
/// warm-up of 10 minutes, so that tables of addresses grow no more after it.
const ADDRESSES: std::ops::Range<u16> = 4_000..12_000;
/// Clients come in waves: within each period, this many times as many come at its beginning.
const PERIOD: f64 = 30.0;
const WAVE: f64 = 8.0;
const TIMES: f64 = 4.0;
/// An unknown bridge.
const UNKNOWN: &str = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF";

/// Lets clients come until the load ends.
pub(crate) async fn come(world: Arc<World>, front: Front, rate: f64) {
    let (mut clients, started) = (JoinSet::new(), Instant::now());
    loop {
        let is_wave = started.elapsed().as_secs_f64() % PERIOD < WAVE;
        let now = rate * if is_wave { TIMES } else { 1.0 };
        let mean = 1.0 / now;
        let pause = sleep(Duration::from_secs_f64(2.0 * mean * fastrand::f64()));
        if world.ending.run_until_cancelled(pause).await.is_none() {
            break;
        }
        clients.spawn(ask_once(Arc::clone(&world), front.clone()));
        world.note_panics(&mut clients);
    }
    world.finish(clients).await;
}

/// A client that keeps its connection and comes again and again.
pub(crate) async fn come_back(world: Arc<World>, front: Front, http2: bool, path: &'static str) {
    let from = somebody(fastrand::u16(ADDRESSES));
    let mut caller = Caller::new(&front, from, http2, true);
    let kind = [Kind::Client, Kind::PoolClient][usize::from(!path.is_empty())];
    let target = format!("{path}/client");
    while world.pause(1_000..3_000).await {
        ask(&world, &mut caller, kind, &target, None).await;
    }
}

async fn ask_once(world: Arc<World>, front: Front) {
    let from = somebody(fastrand::u16(ADDRESSES));
    let mut caller = Caller::new(&front, from, fastrand::bool(), false);
    match fastrand::u8(..100) {
        // Before its offer is handed to a proxy, most likely, or after that.
        0..8 => ask(&world, &mut caller, Kind::Client, "/client", Some(0..60)).await,
        8..16 => {
            let leaves = Some(60..1_500);
            ask(&world, &mut caller, Kind::Client, "/client", leaves).await;
        }
        16..20 => refused(&mut caller, "1.0\n{\"offer\":\"{}\"}".into()).await,
        20..23 => refused(&mut caller, "1.1\n{}".into()).await,
        23..26 => refused(&mut caller, "1.0\n{".repeat(2_000).into()).await,
        26..29 => {
            let (_, poll) = world.client_poll();
            let poll = String::from_utf8(poll.to_vec()).unwrap();
            let asked = "\"fingerprint\":\"\"";
            assert!(poll.contains(asked), "{poll}");
            let poll = poll.replace(asked, &format!("\"fingerprint\":\"{UNKNOWN}\""));
            refused(&mut caller, poll.into()).await;
        }
        29..36 => by_amp(&world, &front).await,
        36..46 => twice(&world, &front, from).await,
        _ => ask(&world, &mut caller, Kind::Client, "/client", None).await,
    }
}

/// A client whose first match fails, and that comes again over the same connection.
async fn twice(world: &World, front: &Front, from: IpAddr) {
    let mut caller = Caller::new(front, from, fastrand::bool(), true);
    for _ in 0..2 {
        ask(world, &mut caller, Kind::Client, "/client", None).await;
        if !world.pause(8_000..12_000).await {
            return;
        }
    }
}

/// Asks for an answer, which must be the one to its own offer. It leaves after a random time
/// from this range in milliseconds, if there is one.
async fn ask(
    world: &World,
    caller: &mut Caller,
    kind: Kind,
    path: &str,
    leaves: Option<std::ops::Range<u64>>,
) {
    let (tag, poll) = world.client_poll();
    let reply = match leaves {
        None => caller.send(kind, path, poll, outcome).await,
        Some(range) => {
            let after = Duration::from_millis(fastrand::u64(range));
            caller
                .send_and_leave(kind, path, poll, outcome, after)
                .await
        }
    };
    let Some(reply) = reply else { return };
    judge(world, kind, tag, &reply.json);
}

async fn refused(caller: &mut Caller, body: Bytes) {
    caller.send(Kind::Client, "/client", body, outcome).await;
}

/// Comes through a cache, which keeps its connections for others.
async fn by_amp(world: &World, front: &Front) {
    let mut caller = Caller::new(front, CACHE, fastrand::bool(), false);
    let (tag, poll) = world.client_poll();
    let path = format!("/amp/client/0x/{}", URL_SAFE_NO_PAD.encode(&poll));
    let reply = caller.send(Kind::AmpClient, &path, Bytes::new(), outcome);
    if let Some(reply) = reply.await {
        judge(world, Kind::AmpClient, tag, &armored(&reply.text));
    }
}

fn judge(world: &World, kind: Kind, tag: u64, reply: &Value) {
    if let Some(answer) = reply["answer"].as_str()
        && !world.messages.is_answer_to(tag, answer)
    {
        world.tally.add(kind, Fate::Wrong);
    }
}

fn outcome(kind: Kind, reply: &Reply) -> &'static str {
    if reply.status != 200 {
        return "refused";
    }
    let armored = (kind == Kind::AmpClient).then(|| armored(&reply.text));
    let json = armored.as_ref().unwrap_or(&reply.json);
    match json["error"].as_str() {
        None => "matched",
        Some("no snowflake proxies currently available") => "denied",
        Some("timed out waiting for answer!") => "timed_out",
        Some(_) => "refused",
    }
}

/// The response in an AMP page.
fn armored(page: &str) -> Value {
    let texts = page.split("<pre>").skip(1);
    let texts = texts.filter_map(|rest| rest.split_once("</pre>"));
    let text: String = texts
        .flat_map(|(text, _)| text.split_whitespace())
        .collect();
    let json = text
        .strip_prefix('0')
        .and_then(|text| STANDARD.decode(text).ok());
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .unwrap_or_default()
}

//! Signals at a bad time.

use std::fs;

use rustix::process::Signal;

use crate::faults::broker::Setup;
use crate::faults::{BRIDGE, until};
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::slow_file;

/// A file that blocks, like one on a network that is down.
#[tokio::test]
async fn a_start_that_hangs_can_be_stopped() {
    let setup = Setup::new();
    let bridges = setup.path("bridges.json");
    fs::write(&bridges, BRIDGE).unwrap();
    let _holder = slow_file::make_wait(&bridges).await;
    let broker = setup.with("broker.bridge_list_path", bridges).spawn();
    until("it can be stopped", || broker.can_be_stopped()).await;
    broker.end().await;
}

/// A library whose exit handler ends the program by SIGABRT, as one of AWS-LC's handlers does
/// to a thread that draws random numbers after it.
const ABORTS_AT_EXIT: &str = "\
#include <stdlib.h>
__attribute__((destructor)) static void at_exit(void) { abort(); }
";

/// Threads may still run when the broker ends, so no library may take down what they use.
#[tokio::test]
async fn no_exit_handler_runs() {
    let setup = Setup::new().preloading("at_exit", ABORTS_AT_EXIT);
    let broker = setup.start().await;
    broker.end().await;
}

#[tokio::test]
async fn a_storm_of_reloads_does_not_keep_it_from_stopping() {
    let broker = Setup::new().start().await;
    let (mut proxy, mut client) = tokio::join!(broker.peer(), broker.peer());
    let poll = proxy.post("/proxy", proxy_poll("a", "open"));
    // Its proxy does not answer, so the client is waiting while the broker stops.
    let waiting =
        tokio::spawn(async move { client.post("/client", client_poll("x", "open")).await });
    poll.await;
    for _ in 0..100 {
        broker.send(Signal::HUP);
    }
    broker.send(Signal::TERM);
    until("it stops", || broker.log().contains("stopping")).await;
    for _ in 0..100 {
        broker.send(Signal::HUP);
    }
    let (_, reply) = waiting.await.unwrap();
    assert!(reply.contains("timed out waiting for answer!"), "{reply}");
    broker.stop().await;
}

//! Hundreds of SIGHUPs per second.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::faults::broker::{Broker, Setup};
use crate::faults::{BRIDGE, until};

const SIGNALS: usize = 500;

async fn storm(broker: &Broker, between: impl Fn(usize)) {
    for number in 0..SIGNALS {
        between(number);
        broker.send(Signal::HUP);
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn storms_of_reloads() {
    let setup = Setup::new();
    let file = setup.path("bridges.json");
    fs::write(&file, BRIDGE).unwrap();
    let setup = setup
        .with("broker.bridge_list_path", &file)
        .with("broker.allowed_relay_pattern", "");
    let broker = setup.start().await;
    let before = broker.at_rest().await;

    storm(&broker, |_| {}).await;
    broker.recovers("a storm of reloads", before).await;
    storm(&broker, |_| fs::write(&file, "rubbish").unwrap()).await;
    broker.recovers("a storm of bad reloads", before).await;
    storm(&broker, |number| {
        let text = if number % 2 == 0 { BRIDGE } else { "rubbish" };
        fs::write(&file, text).unwrap();
    })
    .await;
    broker.recovers("a storm of both", before).await;

    // The last signal takes effect, however many came before it.
    fs::write(&file, BRIDGE).unwrap();
    let reloads = || broker.log().matches("configuration reloaded").count();
    let so_far = reloads();
    broker.send(Signal::HUP);
    until("it reloads", || reloads() > so_far).await;
    broker.stop().await;
}

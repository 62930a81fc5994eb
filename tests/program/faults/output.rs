//! A reader of the log that is gone, or does not read.

use std::io::{PipeReader, pipe};

use rustix::process::Signal;

use crate::faults::broker::{Broker, Setup};
use crate::faults::stranger::{connect, read_to_end};

/// A broker that logs a lot, into a pipe.
async fn talkative() -> (Broker, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let setup = Setup::new()
        .with("telemetry.log_level", "debug")
        .logging_to(writer.into());
    (setup.start().await, reader)
}

/// Makes it log more lines than a pipe holds.
async fn provoke(broker: &Broker) {
    for _ in 0..1_500 {
        let mut stream = connect(broker.addr, b"rubbish\r\n\r\n").await;
        read_to_end(&mut stream).await;
    }
}

#[tokio::test]
async fn a_pipe_that_is_closed() {
    let (broker, reader) = talkative().await;
    drop(reader);
    provoke(&broker).await;
    broker.send(Signal::HUP);
    broker.rendezvous().await;
    broker.end().await;
}

#[tokio::test]
async fn a_pipe_that_nobody_reads() {
    let (broker, reader) = talkative().await;
    provoke(&broker).await;
    broker.send(Signal::HUP);
    broker.rendezvous().await;
    broker.end().await;
    drop(reader);
}

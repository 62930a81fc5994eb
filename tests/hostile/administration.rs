//! Connections to the administration port by strangers.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use snowflake_broker::broker::clock;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::broker::{Broker, Setup};
use crate::network::{BROKER, STRANGER, connect_to};
use crate::report::Row;
use crate::support::peer::Peer;

const PORT: u16 = 7_000;

/// Half of the strangers are silent; the others speak HTTP/2 and answer pings.
const PEERS: usize = 1_000;

/// Time after which a stranger returns whose connection was closed.
const AGAIN: Duration = Duration::from_millis(200);

/// Maximum time that an operator has to wait, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

const CALLS: usize = 5;

pub(crate) async fn strangers() -> Row {
    let setup = Setup::new().over_tls();
    let token = setup.path("token");
    fs::write(&token, "a token that nobody guesses\n").unwrap();
    let (cert, key) = (setup.path("cert.pem"), setup.path("key.pem"));
    let tokens = format!(
        "[[admin.tokens]]\nname = \"cron\"\nrole = \"viewer\"\nfile = \"{}\"\n",
        token.display()
    );
    let setup = setup
        .with("admin.listen", format!("[::]:{PORT}"))
        .with("admin.tls.cert", &cert)
        .with("admin.tls.key", key)
        .configured(&tokens);
    let attack = async |broker: &Broker| {
        let tls = Arc::clone(broker.others.tls().unwrap());
        let mut strangers = JoinSet::new();
        for number in 0..PEERS {
            let tls = (number % 2 == 0).then(|| Arc::clone(&tls));
            strangers.spawn(stay(tls));
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..CALLS {
            sleep(Duration::from_secs(1)).await;
            let started = clock::now();
            let mut status = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
            status
                .args(["admin", "status", "--tls-server-name", "broker.example"])
                .arg(format!("--address={BROKER}:{PORT}"))
                .arg("--tls-ca")
                .arg(&cert)
                .arg("--token-file")
                .arg(&token)
                .kill_on_drop(true);
            let output = timeout(PATIENCE, status.output())
                .await
                .expect("the operator gets no connection")
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            slowest = slowest.max(clock::now() - started);
        }
        strangers.shutdown().await;
        let slowest = slowest.as_millis();
        format!(
            "{PEERS} that come back; the operator called {CALLS} times, in {slowest} ms at most"
        )
    };
    setup.start().await.withstands(attack).await
}

/// Connects and stays until the connection is closed; then returns.
async fn stay(tls: Option<Arc<ClientConfig>>) {
    loop {
        if let Ok(mut stream) = connect_to(PORT, STRANGER).await {
            if let Some(tls) = &tls {
                speak(tls, stream).await;
            } else {
                stream.read_u8().await.ok();
            }
        }
        sleep(AGAIN).await;
    }
}

/// Keeps a connection without making a call.
async fn speak(tls: &ClientConfig, stream: tokio::net::TcpStream) {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("broker.example").unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let Ok(stream) = Box::pin(connector.connect(name, stream)).await else {
        return;
    };
    if let Peer::Http2(sender) = Peer::http2_over(stream).await {
        while !sender.is_closed() {
            sleep(AGAIN).await;
        }
    }
}

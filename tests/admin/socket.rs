//! The file of the administration socket, and inherited sockets.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use snowflake_broker::proto::admin::v1::GetStatusRequest;
use snowflake_broker::proto::admin::v1::admin_client::AdminClient;
use tokio::process::Command;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::FOREVER;
use crate::broker::{Broker, Setup};
use crate::support::port;

async fn answers(broker: &Broker) {
    let mut client = broker.client().await;
    client.get_status(GetStatusRequest {}).await.unwrap();
}

#[tokio::test]
async fn its_owner_and_its_group_may_call_until_it_is_removed() {
    let mut broker = Broker::start("[matching]\ndrain_grace = 0\n").await;
    answers(&broker).await;
    let socket = fs::metadata(broker.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.mode() & 0o777, 0o660);
    broker.send(Signal::TERM);
    assert!(broker.end().await.success());
    assert!(!broker.socket().exists());
}

#[tokio::test]
async fn what_a_crash_has_left_is_replaced() {
    let mut broker = Broker::start("").await;
    answers(&broker).await;
    broker.send(Signal::KILL);
    broker.end().await;
    assert!(broker.socket().exists());
    let again = broker.setup.start().await;
    answers(&again).await;
}

#[tokio::test]
async fn the_socket_of_another_broker_is_left_alone() {
    let broker = Broker::start("").await;
    answers(&broker).await;
    let before = fs::metadata(broker.socket()).unwrap().ino();
    let second = Setup::new();
    second.configure(&format!("[admin]\nlisten = {:?}\n", broker.socket()));
    let (code, line) = second.failure().await;
    assert_eq!(code, 1, "{line}");
    assert!(line.contains("admin.listen: cannot listen on"), "{line}");
    assert_eq!(fs::metadata(broker.socket()).unwrap().ino(), before);
    answers(&broker).await;
}

/// A file that is not a socket is neither replaced nor removed.
#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let setup = Setup::new();
    setup.write("admin.sock", "precious");
    let (code, line) = setup.failure().await;
    assert_eq!(code, 2, "{line}");
    assert!(line.contains("admin.listen: cannot listen on"), "{line}");
    assert_eq!(fs::read(setup.socket()).unwrap(), b"precious");
}

/// A successor that was started earlier has its own socket there.
#[tokio::test]
async fn the_socket_of_a_successor_is_not_removed() {
    let mut broker = Broker::start("[matching]\ndrain_grace = 0\n").await;
    answers(&broker).await;
    fs::remove_file(broker.socket()).unwrap();
    let _successor = UnixListener::bind(broker.socket()).unwrap();
    broker.send(Signal::TERM);
    assert!(broker.end().await.success());
    assert!(broker.socket().exists());
}

/// Starts the broker with an inherited socket that listens at the path.
async fn start_with(setup: Setup, socket: &Path) -> Broker {
    let listener = UnixListener::bind(socket).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null"]);
    command.arg(env!("CARGO_BIN_EXE_snowflake-broker"));
    setup.complete(&mut command);
    command
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "admin")
        .stdin(Stdio::from(OwnedFd::from(listener)));
    setup.start_as(command).await
}

async fn answers_at(channel: Channel) {
    let mut client = AdminClient::new(channel);
    client.get_status(GetStatusRequest {}).await.unwrap();
}

/// Runs a script in its own namespaces, which end with it.
async fn on_a_machine(script: &str, variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--mount", "--net", "--pid", "--fork"])
        .args(["--kill-child", "bash", "-c", script])
        .current_dir(folder.path())
        .env("BROKER", env!("CARGO_BIN_EXE_snowflake-broker"))
        .envs(variables.iter().copied())
        .kill_on_drop(true);
    timeout(FOREVER, unshare.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn one_that_is_passed_is_used_and_left() {
    let setup = Setup::new();
    setup.configure("[matching]\ndrain_grace = 0\n");
    let socket = setup.path("passed.sock");
    let mut broker = start_with(setup, &socket).await;
    answers_at(crate::broker::channel(&socket).await).await;
    assert!(!broker.socket().exists());
    broker.send(Signal::TERM);
    assert!(broker.end().await.success());
    assert!(socket.exists());
}

/// A second broker on a machine runs without the default socket, which the first one has.
#[tokio::test]
async fn the_default_one_is_not_insisted_on() {
    let script = "set -euo pipefail\n\
        mount -t tmpfs tmpfs /run && mkdir /run/snowflake-broker && ip link set lo up\n\
        broker() { \"$BROKER\" --disable-tls --disable-geoip --addr 127.0.0.1:$1; }\n\
        broker 1 2> first &\n\
        until [[ -S /run/snowflake-broker/admin.sock ]]; do sleep 0.05; done\n\
        broker 2 2> second &\n\
        until grep --quiet 'no administration' second; do sleep 0.05; done\n\
        cat second";
    let output = on_a_machine(script, &[]).await;
    let log = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(log.contains("admin.listen: cannot listen on"), "{output:?}");
    assert!(log.contains("there is no administration"), "{log}");
}

/// An inherited Unix socket replaces the configured one, but not an address.
#[tokio::test]
async fn an_address_is_besides_the_socket_that_is_passed() {
    let setup = Setup::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
    let listen = format!("[{:?}, \"{address}\"]", setup.socket());
    setup.configure(&format!("[admin]\nlisten = {listen}\n"));
    let socket = setup.path("passed.sock");
    let broker = start_with(setup, &socket).await;
    answers_at(crate::broker::channel(&socket).await).await;
    let at_address = Endpoint::from_shared(format!("http://{address}")).unwrap();
    answers_at(at_address.connect().await.unwrap()).await;
    assert!(!broker.socket().exists());
}

#[tokio::test]
async fn off_is_off_even_for_a_socket_that_is_passed() {
    let setup = Setup::new();
    setup.configure("[admin]\nlisten = \"off\"\n");
    let socket = setup.path("passed.sock");
    let broker = start_with(setup, &socket).await;
    broker
        .logs("admin.listen is off: the inherited socket is not served")
        .await;
}

/// Configuring an address does not lock operators out of the command.
#[tokio::test]
async fn the_default_one_is_there_besides_an_address() {
    let script = "set -euo pipefail\n\
        mount -t tmpfs tmpfs /run && mkdir /run/snowflake-broker && ip link set lo up\n\
        \"$BROKER\" --disable-tls --disable-geoip --addr 127.0.0.1:1 2> log &\n\
        until [[ -S /run/snowflake-broker/admin.sock ]]; do sleep 0.05; done\n\
        until : 2> /dev/null < /dev/tcp/127.0.0.1/2; do sleep 0.05; done\n\
        \"$BROKER\" admin status\n\
        \"$BROKER\" admin status --address 127.0.0.1:2\n\
        \"$BROKER\" admin status --address unix:/run/snowflake-broker/admin.sock\n";
    let output = on_a_machine(script, &[("SNOWFLAKE_BROKER_ADMIN__LISTEN", "127.0.0.1:2")]).await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn it_can_be_off() {
    let broker = Broker::start("[admin]\nlisten = \"off\"\n").await;
    assert!(!broker.socket().exists());
}

//! Listening on machines with and without IPv6.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rcgen::{CertificateParams, KeyPair};
use tokio::process::Command;
use tokio::time::timeout;

use crate::{FEW_CONNECTIONS, FOREVER};

/// A machine with its own network.
struct Machine {
    /// The setup script.
    prepared_by: &'static str,
    /// The command that starts programs on it.
    starter: &'static str,
    /// The addresses at which it can be reached.
    addresses: &'static [&'static str],
}

const BOTH: &[&str] = &["127.0.0.1", "::1"];

const WITH_IPV6: Machine = Machine {
    prepared_by: "echo 1 > /proc/sys/net/ipv6/bindv6only",
    starter: "",
    addresses: BOTH,
};

const IPV6_SWITCHED_OFF: Machine = Machine {
    prepared_by: "for all in all default lo; do\n\
        echo 1 > /proc/sys/net/ipv6/conf/$all/disable_ipv6\n\
        done",
    starter: "",
    addresses: &["127.0.0.1"],
};

/// A machine without IPv6 sockets (`EAFNOSUPPORT`), as with the kernel's `ipv6.disable=1`
/// or systemd's `RestrictAddressFamilies=`.
const KERNEL_WITHOUT_IPV6: Machine = Machine {
    prepared_by: "",
    starter: concat!(
        "/usr/bin/python3 ",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/program/without_ipv6.py"
    ),
    addresses: &["127.0.0.1"],
};

#[tokio::test]
async fn a_port_alone_is_that_of_every_address() {
    for machine in [WITH_IPV6, IPV6_SWITCHED_OFF, KERNEL_WITHOUT_IPV6] {
        machine.is_listened_on_by("", "127.0.0.1").await;
    }
}

#[tokio::test]
async fn a_name_is_every_address_that_it_has() {
    for machine in [WITH_IPV6, IPV6_SWITCHED_OFF, KERNEL_WITHOUT_IPV6] {
        machine.is_listened_on_by("localhost", "localhost").await;
    }
}

impl Machine {
    /// Waits until every listener of a broker that listens on this host can be reached.
    /// Its administration has a loopback address, since no credentials are configured.
    async fn is_listened_on_by(&self, host: &str, admin: &str) {
        let folder = tempfile::tempdir().unwrap();
        write_configuration(folder.path(), host, admin);
        let admin_addresses = if admin == "localhost" {
            self.addresses
        } else {
            &["127.0.0.1"]
        };
        let script = format!(
            "set -euo pipefail\n\
             ip link set lo up\n\
             mount --bind hosts /etc/hosts\n\
             {}\n\
             {} \"$BROKER\" --config config.toml --disable-geoip 2> log &\n\
             reach() {{\n\
               until (: > /dev/tcp/$1/$2) 2> /dev/null; do kill -0 $!; sleep 0.05; done\n\
             }}\n\
             for address in {}; do\n\
               for port in 8001 8002 8003 8004; do reach $address $port; done\n\
             done\n\
             for address in {}; do reach $address 8005; done\n",
            self.prepared_by,
            self.starter,
            self.addresses.join(" "),
            admin_addresses.join(" "),
        );
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--map-root-user", "--mount", "--net", "--pid", "--fork"])
            .args(["--kill-child", "bash", "-c", &script])
            .current_dir(folder.path())
            .env("BROKER", env!("CARGO_BIN_EXE_snowflake-broker"))
            .envs(FEW_CONNECTIONS)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(FOREVER, unshare.output()).await;
        let log = fs::read_to_string(folder.path().join("log")).unwrap();
        let output = output.unwrap_or_else(|_| panic!("{host}: not all is reached: {log}"));
        assert!(
            output.as_ref().unwrap().status.success(),
            "{output:?}\n{log}"
        );
    }
}

/// A broker with every kind of listener.
fn write_configuration(folder: &Path, host: &str, admin: &str) {
    fs::write(folder.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n").unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["one.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.join("federation.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("federation.key"), key.serialize_pem()).unwrap();
    let config = format!(
        "[listener]\naddr = \"{host}:8001\"\n\
         [acme]\nhostnames = [\"one.example\"]\nhttp_addr = \"{host}:8002\"\n\
         directory = \"https://localhost:1/\"\ncert_cache = \"cache\"\n\
         [operator]\nlisten = \"{host}:8003\"\n\
         [federation]\nlisten = \"{host}:8004\"\n\
         [federation.tls]\ncert = \"federation.pem\"\nkey = \"federation.key\"\n\
         ca = \"federation.pem\"\n\
         [admin]\nlisten = \"{admin}:8005\"\n"
    );
    fs::write(folder.join("config.toml"), config).unwrap();
}

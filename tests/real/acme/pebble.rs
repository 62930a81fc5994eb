//! A certificate authority on the loopback, with a name server that resolves every name.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::{port, tls_client, unpacked};

const HOST: &str = "127.0.0.1";

/// The setup of an authority, whether it runs or not.
pub(crate) struct Pebble {
    scratch: TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    /// The addresses where it validates.
    pub(crate) tls_alpn: SocketAddr,
    pub(crate) http: SocketAddr,
    own: CertificateDer<'static>,
}

/// A running authority.
pub(crate) struct RunningPebble {
    process: Process,
    _names: Process,
    /// The root of its certificates, which changes with each start.
    pub(crate) root: CertificateDer<'static>,
}

impl Pebble {
    /// Prepares an authority that does not run yet.
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        fs::write(scratch.path().join("ca.pem"), own.cert.pem()).unwrap();
        let key = own.signing_key.serialize_pem();
        fs::write(scratch.path().join("key.pem"), key).unwrap();
        Self {
            scratch,
            directory: free_address(),
            management: free_address(),
            tls_alpn: free_address(),
            http: free_address(),
            own: own.cert.der().clone(),
        }
    }

    /// The URL of its directory.
    pub(crate) fn url(&self) -> String {
        format!("https://{}/dir", self.directory)
    }

    /// The root of its own certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("ca.pem")
    }

    /// Starts the authority. It rejects one in twenty nonces, which is its default.
    pub(crate) async fn start(&self) -> RunningPebble {
        self.start_rejecting_nonces(5).await
    }

    /// Starts the authority, which rejects this percentage of nonces.
    pub(crate) async fn start_rejecting_nonces(&self, percentage: u32) -> RunningPebble {
        let scratch = self.scratch.path();
        let names = free_address();
        let mut command = Command::new(unpacked::file("usr/bin/pebble-challtestsrv"));
        command
            .args(["-dns01", &names.to_string(), "-defaultIPv4", HOST])
            .args(["-defaultIPv6", "", "-management", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let names_process = Process::start(&mut command, scratch.join("names.log")).unwrap();

        let config = json!({"pebble": {
            "listenAddress": self.directory.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": self.ca_file(),
            "privateKey": scratch.join("key.pem"),
            "httpPort": self.http.port(),
            "tlsPort": self.tls_alpn.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let file = scratch.join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new(unpacked::file("usr/bin/pebble"));
        command
            .arg("-config")
            .arg(file)
            .args(["-dnsserver", &names.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", percentage.to_string())
            // Every name must be proven every time.
            .env("PEBBLE_AUTHZREUSE", "0");
        let mut process = Process::start(&mut command, scratch.join("pebble.log")).unwrap();
        let root = until("pebble tells its root", async || {
            process.log()?;
            Ok(self.root().await.ok())
        });
        RunningPebble {
            root: root.await.unwrap(),
            process,
            _names: names_process,
        }
    }

    async fn root(&self) -> Result<CertificateDer<'static>> {
        let config = tls_client::trusting([&self.own]);
        let mut stream = tls_client::connect(config, self.management, HOST).await?;
        let request = "GET /roots/0 HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut reply = Vec::new();
        // It may close without a TLS notification.
        let _ = stream.read_to_end(&mut reply).await;
        Ok(CertificateDer::from_pem_slice(&reply)?)
    }
}

impl RunningPebble {
    /// Ends the authority, with all its state.
    pub(crate) async fn end(self, pebble: &Pebble) {
        drop(self.process);
        until_gone(pebble.directory).await;
    }

    /// The number of certificates issued since the first start.
    pub(crate) fn issued(&mut self) -> usize {
        self.count("Issued certificate serial")
    }

    /// The number of requests for an account since the first start. Every order begins
    /// with one.
    pub(crate) fn asked_for_account(&mut self) -> usize {
        self.count("POST /sign-me-up")
    }

    fn count(&mut self, text: &str) -> usize {
        self.process.log().unwrap().matches(text).count()
    }
}

/// Waits until nothing listens there.
pub(crate) async fn until_gone(addr: SocketAddr) {
    let gone = until("it has ended", async || {
        Ok((!listens(addr).await).then_some(()))
    });
    gone.await.unwrap();
}

/// Returns true if something listens there.
pub(crate) async fn listens(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).await.is_ok()
}

pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()))
}

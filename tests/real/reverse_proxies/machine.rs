//! A machine with a broker and a reverse proxy.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::front::Front;
use super::visitor::Visitor;
use crate::support::process::Process;
use crate::support::wait;

/// The address at which the world finds the machine.
pub(crate) const PUBLIC: &str = "5.9.0.1";
/// The broker's, behind a reverse proxy of HTTP.
pub(crate) const BROKER: &str = "127.0.0.1:8080";
/// Its host name.
pub(crate) const NAME: &str = "broker.example.org";
/// The certificate and key that the page names.
const CERTIFICATES: &str = "/etc/ssl/broker.example.org";

/// Settings that a test needs and the page does not tell.
const QUIET: &str = "[geoip]\ndisable = true\n[admin]\nlisten = \"off\"\n";

pub(crate) struct Machine {
    scratch: TempDir,
}

impl Machine {
    /// One whose `/etc` can be written, with a certificate.
    pub(crate) async fn new() -> Result<Self> {
        let scratch = TempDir::new()?;
        writable("/etc", scratch.path()).await?;
        let pair = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let folder = Path::new(CERTIFICATES);
        fs::create_dir_all(folder)?;
        fs::write(folder.join("fullchain.pem"), &certificate)?;
        fs::write(folder.join("privkey.pem"), &key)?;
        fs::write(folder.join("haproxy.pem"), certificate + &key)?;
        Ok(Self { scratch })
    }

    /// A broker with these settings, which listens there.
    pub(crate) async fn broker(
        &self,
        settings: &str,
        more: &str,
        address: &str,
    ) -> Result<Process> {
        let folder = Path::new("/etc/snowflake-broker");
        fs::create_dir_all(folder)?;
        fs::write(folder.join("config.toml"), settings)?;
        let other = self.scratch.path().join("more.toml");
        fs::write(&other, format!("{QUIET}{more}"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("--config")
            .arg(other);
        self.start("broker", &mut command, address).await
    }

    /// A reverse proxy with this configuration, once the one before it is gone.
    pub(crate) async fn front(&self, front: Front, config: &str) -> Result<Process> {
        let address = format!("{PUBLIC}:443");
        let is_free = async || Ok(TcpListener::bind(&address).await.ok());
        drop(wait::until("the public port to be free", is_free).await?);
        let mut command = front.command(config, self.scratch.path())?;
        self.start(&format!("{front:?}"), &mut command, &address)
            .await
    }

    /// Somebody who trusts the certificate of a reverse proxy.
    pub(crate) async fn visitor(&self, front: Front) -> Result<Visitor> {
        let authority = match front {
            Front::Caddy => {
                let path = "caddy/pki/authorities/local/root.crt";
                self.scratch.path().join(path)
            }
            _ => Path::new(CERTIFICATES).join("fullchain.pem"),
        };
        let read = async || Ok(CertificateDer::from_pem_file(&authority).ok());
        let authority = wait::until("the authority's certificate", read).await?;
        Visitor::new(authority)
    }

    async fn start(&self, name: &str, command: &mut Command, address: &str) -> Result<Process> {
        let log = self.scratch.path().join(name).with_extension("log");
        let mut process = Process::start(command, log)?;
        wait::until("it to listen", async || {
            process.log()?;
            Ok(TcpStream::connect(address).await.ok())
        })
        .await?;
        Ok(process)
    }
}

/// Puts a folder of this machine's own over one that is everybody's.
async fn writable(folder: &str, scratch: &Path) -> Result<()> {
    let layer = scratch.join("layer");
    fs::create_dir(&layer)?;
    mount(&["-t", "tmpfs", "tmpfs", &layer.display().to_string()]).await?;
    let [upper, work] = ["upper", "work"].map(|name| layer.join(name));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    let (upper, work) = (upper.display(), work.display());
    let layers = format!("lowerdir={folder},upperdir={upper},workdir={work}");
    mount(&["-t", "overlay", "overlay", "-o", &layers, folder]).await
}

async fn mount(arguments: &[&str]) -> Result<()> {
    let status = Command::new("mount").args(arguments).status().await?;
    ensure!(status.success(), "mount {arguments:?}: {status}");
    Ok(())
}

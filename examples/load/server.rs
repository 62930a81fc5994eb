//! The server being measured, the broker or the floor: its address, and its use of CPU
//! and memory.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::Uri;
use procfs::process::Process;
use procfs::{page_size, ticks_per_second};
use tempfile::TempDir;
use tokio::net::lookup_host;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::connections::{Connections, Dialer};
use crate::options::Options;
use crate::tls::write_certificate;

/// Maximum time until a server responds.
const START_PATIENCE: Duration = Duration::from_secs(30);
const LOG_LEVEL: &str = "SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL";

/// A server to put under load. If it was started here, it is killed on drop.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: bool,
    /// The time from the start of the program to its first response; `None` if it was
    /// already running.
    pub(crate) start_up: Option<Duration>,
    /// The address for proxies.
    pub(crate) proxies_addr: SocketAddr,
    processes: Vec<Process>,
    _started: Option<(Child, TempDir)>,
}

/// The CPU and memory that a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time of all threads, in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Server {
    /// Connects to servers that are already running.
    pub(crate) async fn running(url: &str, options: &Options) -> Result<Self> {
        let (addr, tls) = resolve(url).await.context("--url")?;
        let (proxies_addr, proxies_tls) = match &options.proxies_url {
            Some(url) => resolve(url).await.context("--proxies-url")?,
            None => (addr, tls),
        };
        if proxies_tls != tls {
            bail!("--proxies-url has another scheme than --url");
        }
        let pids = options.pid.iter();
        let processes = pids.map(|pid| Process::new(*pid)).collect::<Result<_, _>>();
        Ok(Self {
            addr,
            tls,
            start_up: None,
            proxies_addr,
            processes: processes.context("--pid")?,
            _started: None,
        })
    }

    /// Starts a server on its own port, and waits until it responds.
    pub(crate) async fn start(program: &Path, options: &Options) -> Result<Self> {
        let addr = TcpListener::bind((own_loopback_address(), 0))?.local_addr()?;
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command.arg("--addr").arg(addr.to_string());
        if options.tls {
            let files = write_certificate(directory.path())?;
            command.arg("--cert").arg(files.cert);
            command.arg("--key").arg(files.key);
        } else {
            command.arg("--disable-tls");
        }
        if env::var_os(LOG_LEVEL).is_none() {
            command.env(LOG_LEVEL, "warn");
        }
        command.args(&options.broker_arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let dialer = Arc::new(Dialer::new(options, addr, options.tls)?);
        let connection = Connections::new(options, &dialer, 1);
        let begin = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("the server has ended")?;
        timeout(START_PATIENCE, responding(&mut child, &connection))
            .await
            .context("the server does not respond")??;
        Ok(Self {
            addr,
            tls: options.tls,
            start_up: Some(begin.elapsed()),
            proxies_addr: addr,
            processes: vec![Process::new(pid.try_into()?)?],
            _started: Some((child, directory)),
        })
    }

    /// The CPU and memory used; `None` if no process is known.
    pub(crate) fn usage(&self) -> Result<Option<Usage>> {
        if self.processes.is_empty() {
            return Ok(None);
        }
        let (mut ticks, mut pages) = (0, 0);
        for process in &self.processes {
            let stat = process.stat().context("the server has ended")?;
            ticks += stat.utime + stat.stime;
            pages += stat.rss;
        }
        let tick = Duration::from_secs(1) / u32::try_from(ticks_per_second())?;
        Ok(Some(Usage {
            cpu: tick * u32::try_from(ticks)?,
            memory: pages * page_size(),
        }))
    }
}

/// The address of a URL, and whether it is of TLS.
async fn resolve(url: &str) -> Result<(SocketAddr, bool)> {
    let url: Uri = url.parse().context("it is no URL")?;
    let tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("it does not begin with http:// or https://"),
    };
    let host = url
        .host()
        .context("it names no host")?
        .trim_start_matches('[')
        .trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let addr = lookup_host((host, port)).await?.next();
    Ok((addr.context("its host has no address")?, tls))
}

/// A loopback address on which no other program takes the port before the server does.
fn own_loopback_address() -> Ipv4Addr {
    let hosts =
        u32::from(Ipv4Addr::new(127, 128, 0, 1))..=u32::from(Ipv4Addr::new(127, 255, 255, 254));
    fastrand::u32(hosts).into()
}

/// Sends malformed polls until there is a response.
async fn responding(child: &mut Child, connection: &Connections) -> Result<()> {
    let poll = Bytes::from_static(b"?");
    while connection.post(0, "/proxy", poll.clone()).await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the server has ended: {status}");
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

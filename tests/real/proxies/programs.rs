//! The command lines and configurations of nginx and `HAProxy`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::proxies::{BROKER, FRONT};
use crate::support::process::Process;
use crate::support::{libraries, unpacked, wait};

/// The form in which a TCP load balancer names the sender.
#[derive(Clone, Copy)]
pub(crate) enum TcpHeader {
    Version1,
    Version2,
}

/// The programs, and a folder for configurations, logs and state.
pub(crate) struct Programs<'a> {
    pub(crate) scratch: &'a Path,
}

impl Programs<'_> {
    /// nginx as a reverse proxy, configured as in its documentation.
    pub(crate) async fn nginx(&self) -> Result<Process> {
        let scratch = self.scratch.display();
        let config = self.write(
            "nginx.conf",
            &format!(
                "user root;
                 daemon off;
                 master_process off;
                 pid {scratch}/nginx.pid;
                 error_log stderr;
                 events {{}}
                 http {{
                     access_log off;
                     client_body_temp_path {scratch}/body;
                     proxy_temp_path {scratch}/proxy;
                     fastcgi_temp_path {scratch}/fastcgi;
                     uwsgi_temp_path {scratch}/uwsgi;
                     scgi_temp_path {scratch}/scgi;
                     server {{
                         listen {FRONT};
                         location / {{
                             proxy_pass http://{BROKER};
                             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                         }}
                     }}
                 }}"
            ),
        )?;
        let mut command = command("nginx")?;
        command
            .args(["-e", "stderr", "-p"])
            .arg(self.scratch)
            .arg("-c")
            .arg(config);
        self.start("nginx", &mut command).await
    }

    /// `HAProxy` as an HTTP reverse proxy.
    pub(crate) async fn haproxy_for_http(&self) -> Result<Process> {
        self.haproxy("mode http\n option forwardfor", "").await
    }

    /// `HAProxy` as a TCP load balancer.
    pub(crate) async fn haproxy_for_tcp(&self, header: TcpHeader) -> Result<Process> {
        self.haproxy("mode tcp", header.option()).await
    }

    async fn haproxy(&self, mode: &str, server: &str) -> Result<Process> {
        let mut command = self.haproxy_command(mode, server)?;
        self.start("haproxy", &mut command).await
    }

    /// The same, with a health check every tenth of a second.
    pub(crate) fn haproxy_that_checks(&self, header: TcpHeader) -> Result<Process> {
        let server = format!("{} check inter 100ms rise 1 fall 1", header.option());
        let mut command = self.haproxy_command("mode tcp", &server)?;
        Process::start(&mut command, self.scratch.join("haproxy.log"))
    }

    fn haproxy_command(&self, mode: &str, server: &str) -> Result<Command> {
        let config = self.write(
            "haproxy.cfg",
            &format!(
                "global
                 log stderr local0
                 defaults
                 {mode}
                 log global
                 timeout connect 5s
                 timeout client 60s
                 timeout server 60s
                 listen front
                 bind {FRONT}
                 server broker {BROKER} {server}\n"
            ),
        )?;
        let mut command = command("haproxy")?;
        command.args(["-db", "-f"]).arg(config);
        Ok(command)
    }

    fn write(&self, name: &str, config: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, config)?;
        Ok(path)
    }

    /// Starts a program and waits until it listens, once the previous one is gone.
    async fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        let is_free = async || Ok(TcpListener::bind(FRONT).await.ok());
        drop(wait::until("the front to be free", is_free).await?);
        let log = self.scratch.join(name).with_extension("log");
        let mut process = Process::start(command, log)?;
        wait::until("it to listen", async || {
            process.log()?;
            Ok(TcpStream::connect(FRONT).await.ok())
        })
        .await?;
        Ok(process)
    }
}

fn command(program: &str) -> Result<Command> {
    let mut command = Command::new(unpacked::file(&format!("usr/sbin/{program}")));
    command.env("LD_LIBRARY_PATH", env::join_paths(libraries::folders())?);
    Ok(command)
}

impl TcpHeader {
    fn option(self) -> &'static str {
        match self {
            Self::Version1 => "send-proxy",
            Self::Version2 => "send-proxy-v2",
        }
    }
}

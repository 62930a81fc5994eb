//! The reverse proxies.

use std::path::Path;
use std::{env, fs};

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::page;
use crate::support::{libraries, unpacked};

/// A program in front of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Front {
    Nginx,
    Haproxy,
    Caddy,
}

impl Front {
    /// Its configuration in the page.
    pub(crate) fn config(self) -> Result<String> {
        page::snippet(match self {
            Self::Nginx => "conf.d",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        })
    }

    /// A configuration, changed as the page says for HTTP/2 to the broker.
    pub(crate) fn over_http2(self, config: &str) -> Result<String> {
        let (old, new) = match self {
            Self::Haproxy => ("127.0.0.1:8080", "127.0.0.1:8080 proto h2"),
            _ => ("127.0.0.1:8080", "h2c://127.0.0.1:8080"),
        };
        ensure!(config.matches(old).count() == 1, "{config}");
        Ok(config.replace(old, new))
    }

    /// Writes the configuration to where the page says. The command starts the program
    /// with it.
    pub(crate) fn command(self, config: &str, scratch: &Path) -> Result<Command> {
        match self {
            Self::Nginx => nginx(config, scratch),
            Self::Haproxy => haproxy(config),
            Self::Caddy => caddy(config, scratch),
        }
    }
}

fn nginx(config: &str, scratch: &Path) -> Result<Command> {
    let folder = Path::new("/etc/nginx/conf.d");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("snowflake-broker.conf"), config)?;
    let limits = page::snippet("nginx.conf")?;
    let here = scratch.display();
    // What Debian's file says, for one process in the foreground.
    let main = format!(
        "user root;
         daemon off;
         master_process off;
         pid {here}/nginx.pid;
         error_log stderr;
         {limits}
         http {{
             client_body_temp_path {here}/body;
             proxy_temp_path {here}/proxy;
             fastcgi_temp_path {here}/fastcgi;
             uwsgi_temp_path {here}/uwsgi;
             scgi_temp_path {here}/scgi;
             include /etc/nginx/conf.d/*.conf;
         }}"
    );
    fs::write("/etc/nginx/nginx.conf", main)?;
    let mut command = Command::new(unpacked::file("usr/sbin/nginx"));
    command
        .env("LD_LIBRARY_PATH", env::join_paths(libraries::folders())?)
        .args(["-e", "stderr", "-c", "/etc/nginx/nginx.conf", "-p"])
        .arg(scratch);
    Ok(command)
}

fn haproxy(config: &str) -> Result<Command> {
    fs::create_dir_all("/etc/haproxy")?;
    fs::write("/etc/haproxy/haproxy.cfg", config)?;
    let mut command = Command::new(unpacked::file("usr/sbin/haproxy"));
    command
        .env("LD_LIBRARY_PATH", env::join_paths(libraries::folders())?)
        .args(["-db", "-f", "/etc/haproxy/haproxy.cfg"]);
    Ok(command)
}

fn caddy(config: &str, scratch: &Path) -> Result<Command> {
    // An authority of its own in place of one on the Internet.
    let options = "{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n}\n";
    fs::create_dir_all("/etc/caddy")?;
    fs::write("/etc/caddy/Caddyfile", format!("{options}{config}"))?;
    let mut command = Command::new(unpacked::file("usr/bin/caddy"));
    command
        .env("HOME", scratch)
        .env("XDG_DATA_HOME", scratch)
        .args([
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            "/etc/caddy/Caddyfile",
        ]);
    Ok(command)
}

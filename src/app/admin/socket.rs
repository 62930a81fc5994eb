//! The sockets of the administration.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::app::files::blame_configuration;
use crate::app::listen::cannot_listen;
use crate::app::persistence::atomic_file::{absent_is_fine, with_suffix};
use crate::app::systemd::sockets::{self, Inherited, Sockets};
use crate::causes::with_causes;
use crate::file_access;
use crate::grpc::settings::{AdminListen, Settings};
use crate::listener::{self, ListenSocket};
use crate::telemetry::SETTINGS;

const SETTING: &str = "admin.listen";

/// The permissions of the socket. Anyone who can write to it, its owner and its group, is
/// an operator.
const MODE: u32 = 0o660;

/// The suffix of a socket's name until it is ready.
const UNFINISHED: &str = ".new";
/// The maximum length of a socket's path in bytes (unix(7)).
const PATH_MAX: usize = 107;

/// Refuses a path where no socket is possible, which no restart can change. Does not
/// connect.
pub(in crate::app) fn check(settings: &Settings) -> anyhow::Result<()> {
    settings
        .listen()
        .into_iter()
        .try_for_each(|place| match place {
            AdminListen::Unix(path) => check_path(path),
            AdminListen::UnixIfPossible(_) | AdminListen::Tcp(_) => Ok(()),
        })
}

/// The warnings for a start.
pub(in crate::app) fn warning(settings: &Settings) -> Option<String> {
    settings.listen().into_iter().find_map(|place| match place {
        AdminListen::UnixIfPossible(path) if path.parent().is_some_and(Path::is_dir) => {
            check_path(path).err().map(|error| without(&error))
        }
        _ => None,
    })
}

fn check_path(path: &Path) -> anyhow::Result<()> {
    let problem = || format!("admin.listen: cannot listen on {}", path.display());
    let length = path.as_os_str().len();
    let most = PATH_MAX - UNFINISHED.len();
    ensure!(
        length <= most,
        "{}: the path is longer than {most} bytes",
        problem()
    );
    let is_other = fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket());
    ensure!(
        !is_other,
        "{}: the file exists and is not a socket",
        problem()
    );
    let directory = file_access::directory(path);
    file_access::can_make_files_in(directory).with_context(|| {
        format!(
            "{}: cannot create files in {}",
            problem(),
            directory.display()
        )
    })
}

fn without(error: &anyhow::Error) -> String {
    format!(
        "{} (there is no administration)",
        with_causes(error.as_ref())
    )
}

/// A socket of the administration. A Unix socket's file is removed on drop.
#[derive(Debug)]
pub(in crate::app) struct AdminSocket {
    pub(in crate::app) listener: ListenSocket,
    pub(in crate::app) file: Option<SocketFile>,
}

/// Opens the configured sockets. Sockets from the service manager replace the Unix
/// sockets or the TCP addresses, depending on their kind.
pub(in crate::app) async fn open(
    settings: &Settings,
    sockets: &mut Sockets,
) -> anyhow::Result<Vec<AdminSocket>> {
    let inherited = sockets.take_any(sockets::ADMIN)?;
    if settings.is_off() {
        if !inherited.is_empty() {
            tracing::warn!("admin.listen is off: the inherited socket is not served");
        }
        return Ok(Vec::new());
    }
    let has_unix = inherited.iter().any(|it| matches!(it, Inherited::Unix(_)));
    let has_tcp = inherited.iter().any(|it| matches!(it, Inherited::Tcp(_)));
    let mut open = Vec::new();
    for inherited in inherited {
        open.push(without_file(accepted(inherited, settings)?));
    }
    for place in settings.listen() {
        match place {
            AdminListen::Tcp(addr) if has_tcp => log_unused(addr),
            AdminListen::Tcp(addr) => {
                let listeners = listener::bind(addr)
                    .await
                    .map_err(|error| cannot_listen(SETTING, addr, &error))?
                    .into_iter()
                    .map(ListenSocket::Tcp);
                open.extend(listeners.map(without_file));
            }
            AdminListen::Unix(path) if has_unix => log_unused(&path.display().to_string()),
            AdminListen::Unix(path) => {
                check_path(path).map_err(blame_configuration)?;
                open.push(bind(path)?);
            }
            AdminListen::UnixIfPossible(path)
                if !has_unix && path.parent().is_some_and(Path::is_dir) =>
            {
                open.extend(bind_if_possible(path));
            }
            AdminListen::UnixIfPossible(_) => {}
        }
    }
    Ok(open)
}

fn log_unused(place: &str) {
    tracing::info!(
        target: SETTINGS,
        "using the service manager's socket in place of {SETTING} {place}"
    );
}

fn without_file(listener: ListenSocket) -> AdminSocket {
    AdminSocket {
        listener,
        file: None,
    }
}

/// A failure is only a warning: this socket was not configured, and a second broker may
/// be here.
fn bind_if_possible(path: &Path) -> Option<AdminSocket> {
    bind(path)
        .map_err(|error| tracing::warn!(target: SETTINGS, "{}", without(&error)))
        .ok()
}

/// Checks a socket's address, which the check of the configuration has not seen.
fn accepted(inherited: Inherited, settings: &Settings) -> anyhow::Result<ListenSocket> {
    match inherited {
        Inherited::Unix(listener) => Ok(ListenSocket::Unix(listener)),
        Inherited::Tcp(listener) => {
            let is_loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
            ensure!(
                is_loopback || settings.authenticates(),
                "admin.listen: other machines reach the inherited socket: set admin.tls.client_ca or admin.tokens"
            );
            Ok(ListenSocket::Tcp(listener))
        }
    }
}

fn bind(path: &Path) -> anyhow::Result<AdminSocket> {
    let problem = || format!("admin.listen: cannot listen on {}", path.display());
    if UnixStream::connect(path).is_ok() {
        bail!("{}: another program listens there", problem());
    }
    let is_other = fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket());
    ensure!(
        !is_other,
        "{}: the file exists and is not a socket",
        problem()
    );
    let listener = bind_with_mode(path).with_context(problem)?;
    let inode = fs::metadata(path).with_context(problem)?.ino();
    let path = path.to_owned();
    Ok(AdminSocket {
        listener: ListenSocket::Unix(tokio::net::UnixListener::from_std(listener)?),
        file: Some(SocketFile { path, inode }),
    })
}

/// Binds the socket under a temporary name and renames it once its mode is right, so that
/// nobody can connect before. The socket of a crashed broker is replaced.
fn bind_with_mode(path: &Path) -> io::Result<UnixListener> {
    let unfinished = with_suffix(path, UNFINISHED);
    absent_is_fine(fs::remove_file(&unfinished))?;
    let listener = UnixListener::bind(&unfinished)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(MODE))?;
    fs::rename(&unfinished, path)?;
    Ok(listener)
}

/// The file of a socket, removed on drop unless another broker has replaced it.
#[derive(Debug)]
pub(in crate::app) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    pub(in crate::app) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "admin.listen: cannot remove the socket");
        }
    }
}

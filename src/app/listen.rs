//! The error for an address that cannot be listened on.

use std::io::{self, ErrorKind};

use anyhow::anyhow;
use rustix::io::Errno;

/// The reason why a setting's address cannot be listened on, and a way out.
pub(super) fn cannot_listen(setting: &str, addr: &str, error: &io::Error) -> anyhow::Error {
    let way_out = match error.kind() {
        ErrorKind::AddrInUse => "; another program listens there, `ss -ltnp` names it",
        ErrorKind::PermissionDenied => {
            "; a low port needs the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= of \
             systemd) or a socket that systemd opens (socket activation)"
        }
        ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) => {
            "; this machine has no addresses of that kind (IPv6 is off)"
        }
        _ => "",
    };
    anyhow!("{setting}: cannot listen on {addr}: {error}{way_out}")
}

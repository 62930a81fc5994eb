//! The error for an address that cannot be listened on.

use std::io::{self, ErrorKind};

use anyhow::anyhow;
use rustix::io::Errno;

use crate::causes::in_words;

/// The way out of a start.
const START: &str = "needs CAP_NET_BIND_SERVICE: set AmbientCapabilities= in the unit, or use \
                     socket activation";
/// The way out of a check, which whoever has written the configuration makes.
const CHECK: &str = "needs CAP_NET_BIND_SERVICE: run check-config as the service's user and with \
                     its capabilities, or with --no-files";

/// The reason why a setting's address cannot be listened on, and a way out.
pub(super) fn cannot_listen(setting: &str, addr: &str, error: &io::Error) -> anyhow::Error {
    problem(setting, addr, error, START)
}

/// The same where the configuration is only checked.
pub(super) fn could_not_listen(setting: &str, addr: &str, error: &io::Error) -> anyhow::Error {
    problem(setting, addr, error, CHECK)
}

fn problem(setting: &str, addr: &str, error: &io::Error, if_denied: &str) -> anyhow::Error {
    let reason = in_words(error);
    let way_out = match error.kind() {
        ErrorKind::AddrInUse => "another program listens there: `ss -ltnp` names it",
        ErrorKind::PermissionDenied => if_denied,
        ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) => {
            "IPv6 is off on this machine"
        }
        _ => return anyhow!("{setting}: cannot listen on {addr}: {reason}"),
    };
    anyhow!("{setting}: cannot listen on {addr}: {reason} ({way_out})")
}

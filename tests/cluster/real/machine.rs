//! Machines: this one, or two halves of a network that can be cut in two.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::process::Command;

use crate::support::namespace::{inside, ip};
use crate::support::port;

/// A machine on which programs of the cluster run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    namespace: Option<&'static str>,
    /// The address under which the test finds it.
    pub(crate) front: Ipv4Addr,
    /// Its address in the network of the NATS servers.
    pub(crate) back: Ipv4Addr,
}

impl Machine {
    /// This machine.
    pub(crate) const HERE: Self = Self {
        namespace: None,
        front: Ipv4Addr::LOCALHOST,
        back: Ipv4Addr::LOCALHOST,
    };

    pub(crate) fn is_here(self) -> bool {
        self.namespace.is_none()
    }

    /// A command that runs a program on the machine.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = inside(namespace);
                command.arg(program);
                command
            }
        }
    }

    /// A free port at the address where the test finds the machine.
    pub(crate) fn free_front(self) -> SocketAddr {
        (self.front, port::free().unwrap()).into()
    }

    /// A free port in the network of the NATS servers.
    pub(crate) fn free_back(self) -> SocketAddr {
        (self.back, port::free().unwrap()).into()
    }
}

/// The half with fewer nodes and servers, and the other one.
pub(crate) const LEFT: Machine = Machine {
    namespace: Some("left"),
    front: Ipv4Addr::new(10, 97, 1, 1),
    back: Ipv4Addr::new(10, 98, 0, 1),
};
pub(crate) const RIGHT: Machine = Machine {
    namespace: Some("right"),
    front: Ipv4Addr::new(10, 97, 2, 1),
    back: Ipv4Addr::new(10, 98, 0, 2),
};
/// The port of the bridge between the halves that is cut.
const LEFT_BACK: &str = "left-back";

/// Makes both halves, in a namespace without any network. The test reaches each over a link of
/// its own; another link connects them with each other.
pub(crate) async fn make_halves() {
    let run = Command::new("mount")
        .args(["-t", "tmpfs", "none", "/run"])
        .status();
    // Namespaces have names in /run/netns, which others on this machine may use, too.
    assert!(run.await.unwrap().success(), "cannot mount /run");
    for arguments in [
        "link set lo up",
        "link add back type bridge",
        "link set back up",
    ] {
        ip(arguments).await.unwrap();
    }
    for half in [LEFT, RIGHT] {
        make_half(half).await;
    }
}

async fn make_half(half: Machine) {
    let name = half.namespace.unwrap();
    let [first, second, third, _] = half.front.octets();
    let test = Ipv4Addr::new(first, second, third, 254);
    for arguments in [
        format!("netns add {name}"),
        format!("-n {name} link set lo up"),
        format!("link add {name}-front type veth peer name front netns {name}"),
        format!("address add {test}/24 dev {name}-front"),
        format!("link set {name}-front up"),
        format!("-n {name} address add {}/24 dev front", half.front),
        format!("-n {name} link set front up"),
        format!("link add {name}-back type veth peer name back netns {name}"),
        format!("link set {name}-back master back up"),
        format!("-n {name} address add {}/24 dev back", half.back),
        format!("-n {name} link set back up"),
    ] {
        ip(&arguments).await.unwrap();
    }
}

/// Cuts the link between the halves: what one sends to the other disappears.
pub(crate) async fn part_halves() {
    ip(&format!("link set {LEFT_BACK} down")).await.unwrap();
}

pub(crate) async fn rejoin_halves() {
    ip(&format!("link set {LEFT_BACK} up")).await.unwrap();
}

//! The lines of A's log that are expected, and why.

/// A kind of line: its level, its beginning, and the reason for it.
type Kind = (&'static str, &'static str, &'static str);

/// None is an error.
const EXPECTED: [Kind; 27] = [
    ("INFO", "serving clients and proxies", "it starts"),
    ("INFO", "country databases loaded", "it starts"),
    (
        "WARN",
        "listener.max_connections: ",
        "it starts with fewer open files than connections by default",
    ),
    ("INFO", "stopping", "it is told to stop"),
    ("INFO", "stopped", "it has stopped"),
    (
        "INFO",
        "configuration reloaded",
        "the configuration changes",
    ),
    (
        "INFO",
        "serving a new certificate",
        "the certificate changes",
    ),
    (
        "INFO",
        "refused a proxy's poll: ",
        "some are malformed or not wanted",
    ),
    ("INFO", "refused a proxy's answer: ", "some are malformed"),
    (
        "INFO",
        "refused a client's poll: ",
        "some are malformed or for unknown bridges",
    ),
    ("INFO", "dropped a connection: ", "some are hostile"),
    (
        "INFO",
        "similar lines were left out: ",
        "there were many of these",
    ),
    (
        "INFO",
        "federation: connected to a peer",
        "the peer comes back",
    ),
    ("WARN", "federation: no connection ", "the peer is away"),
    (
        "WARN",
        "federation: it fails a client ",
        "the peer stops, or went away with an offer",
    ),
    ("INFO", "cluster: connected to NATS", "NATS comes back"),
    (
        "WARN",
        "cluster: nothing comes back from NATS",
        "NATS hangs",
    ),
    (
        "WARN",
        "cluster: a problem with NATS",
        "NATS is away or late",
    ),
    (
        "INFO",
        "cluster: a node has joined",
        "the other node comes back",
    ),
    ("INFO", "cluster: a node has left", "the other node stops"),
    (
        "WARN",
        "cluster: nothing is heard of a node",
        "it is killed, or NATS hangs",
    ),
    (
        "INFO",
        "cluster: the shared bucket is there",
        "NATS comes back",
    ),
    (
        "WARN",
        "cluster: the shared bucket cannot be reached",
        "NATS is away",
    ),
    (
        "WARN",
        "cluster: cannot read what a node has counted",
        "NATS went away at the end of a window",
    ),
    (
        "WARN",
        "cannot end the window, and will try again",
        "NATS went away at the end of a window",
    ),
    (
        "INFO",
        "admin: private pool soak-",
        "they are created and removed",
    ),
    (
        "INFO",
        "admin: poll intervals set",
        "the administration sets them",
    ),
];

/// Returns the lines that are not expected. A line is a time, a level and a message.
pub(crate) fn unexpected(log: &str) -> Vec<&str> {
    log.lines().filter(|line| !is_expected(line)).collect()
}

fn is_expected(line: &str) -> bool {
    let Some((_, rest)) = line.split_once(' ') else {
        return false;
    };
    let Some((level, message)) = rest.trim_start().split_once(' ') else {
        return false;
    };
    let is_it = |(of, begin, _): &Kind| *of == level && message.starts_with(begin);
    EXPECTED.iter().any(is_it)
}

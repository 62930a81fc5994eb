//! Bounds of the memory and connections that all peers together may use.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::listener;
use crate::listener::accounts::{Accounts, Bounds};
use crate::metrics::MemoryFigures;

use super::memory_limit::{machine_memory, memory_limit};

/// File descriptors reserved for files, the administration, operators and peers.
const DESCRIPTORS_KEPT: usize = 512;

/// The divisor for one address's maximum share of all connections, whatever the
/// configuration allows.
const SHARE_OF_ONE: usize = 8;

/// The memory that the configuration and the system allow. Reads files.
pub(super) fn bounds(config: &Config) -> Bounds {
    let asked = config.listener.memory_high_water;
    let high_water = asked.unwrap_or_else(|| mark([memory_limit(), machine_memory()]));
    Bounds {
        bytes: config.http.max_bytes_in_flight.min(high_water),
        high_water,
    }
}

/// Half of the lowest known limit.
fn mark(limits: [Option<u64>; 2]) -> usize {
    let least = limits.into_iter().flatten().min();
    least.map_or(Bounds::default().high_water, |least| {
        usize::try_from(least / 2).unwrap_or(usize::MAX)
    })
}

/// The listener's settings, with no more connections than file descriptors allow.
pub(super) fn listener(config: &Config) -> listener::Settings {
    let mut settings = config.listener.clone();
    if let Some(most) = fewer_connections(&settings) {
        settings.max_connections = most;
    }
    if settings.max_connections > 0 && settings.max_connections_per_peer > 0 {
        let of_one = (settings.max_connections / SHARE_OF_ONE).max(1);
        settings.max_connections_per_peer = settings.max_connections_per_peer.min(of_one);
    }
    settings
}

/// A warning for the operator if the limit of open files is too low.
pub(super) fn warning(config: &Config) -> Option<String> {
    let most = fewer_connections(&config.listener)?;
    let asked = config.listener.max_connections;
    let (needs, files) = (asked + DESCRIPTORS_KEPT, open_files_max());
    let problem = if asked == 0 {
        format!("0 (no limit) is impossible while {files} files may be open")
    } else {
        format!("{asked} connections need {needs} open files, and the limit is {files}")
    };
    Some(format!(
        "listener.max_connections: {problem}, so the broker takes {most}: raise LimitNOFILE= of \
         systemd, or ulimit -Hn"
    ))
}

/// The possible number of connections, if it is less than configured.
fn fewer_connections(settings: &listener::Settings) -> Option<usize> {
    let most = connections_for(open_files_max());
    let asked = match settings.max_connections {
        0 => usize::MAX,
        asked => asked,
    };
    (most < asked).then_some(most)
}

/// Reserves some descriptors, but at most half of them.
fn connections_for(descriptors: usize) -> usize {
    descriptors
        .saturating_sub(DESCRIPTORS_KEPT)
        .max(descriptors / 2)
}

fn open_files_max() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Raises the limit of open files, since every parked poll holds one. The soft limit is
/// often 1,024.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, soft = limit.current, "cannot raise the limit on open files");
    }
}

/// The memory currently in use.
pub(super) async fn figures(accounts: &Arc<Accounts>) -> MemoryFigures {
    // Control groups are files, and reading them may block.
    let limit_bytes = spawn_blocking(memory_limit).await.ok().flatten();
    let held = accounts.figures();
    MemoryFigures {
        bytes_in_flight: held.bytes,
        max_bytes_in_flight: held.bytes_max,
        revoked: held.revoked,
        limit_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_mark() {
        for (limits, expected) in [
            ([Some(512), Some(4_096)], 256),
            ([Some(4_096), Some(512)], 256),
            ([None, Some(4_096)], 2_048),
            ([Some(512), None], 256),
            ([None, None], Bounds::default().high_water),
        ] {
            assert_eq!(mark(limits), expected, "{limits:?}");
        }
    }

    #[test]
    fn a_bare_start_has_half_of_the_machine_at_most() {
        let machine = machine_memory().unwrap();
        let bounds = bounds(&Config::default());
        assert!(bounds.high_water as u64 <= machine / 2, "{bounds:?}");
        assert!(bounds.bytes <= bounds.high_water, "{bounds:?}");
    }

    #[test]
    fn a_mark_that_is_set_counts() {
        let mut config = Config::default();
        config.listener.memory_high_water = Some(100_000_000);
        let bounds = bounds(&config);
        assert_eq!(
            (bounds.bytes, bounds.high_water),
            (100_000_000, 100_000_000)
        );
    }

    #[test]
    fn descriptors_are_kept_for_what_is_no_connection() {
        assert_eq!(connections_for(524_288), 523_776);
        assert_eq!(connections_for(1_024), 512);
        assert_eq!(connections_for(256), 128);
    }
}

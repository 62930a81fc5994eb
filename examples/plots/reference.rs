//! Earlier figures of the reference broker, version 2.10.1 in Go: measured with a load
//! generator like ours on a two-core machine, with offers and answers of 2.5 KB, 400
//! proxies and 100 clients at saturation.

/// Microseconds of CPU a match, by row of the scenario `match`.
pub(crate) const CPU_A_MATCH: [(&str, f64); 3] = [
    ("HTTP/1.1", 120.0),
    ("HTTP/1.1, answers after 50 ms", 198.0),
    ("HTTP/1.1 over TLS", 157.0),
];

/// The same with a connection for each request, by row of `connections`.
pub(crate) const CPU_A_MATCH_CONNECTING: [(&str, f64); 2] = [
    ("TLS, full handshakes", 857.0),
    ("TLS, resumed sessions", 768.0),
];

/// Kilobytes of memory a parked poll, with 15,000 polls, by row of `memory`.
pub(crate) const MEMORY_A_POLL: [(&str, f64); 2] =
    [("HTTP/1.1", 39.0), ("HTTP/1.1 over TLS", 51.6)];

/// The p99 at saturation over HTTP/1.1, in milliseconds.
pub(crate) const P99: f64 = 24.0;

/// The figure of a row.
pub(crate) fn of(figures: &[(&str, f64)], row: &str) -> Option<f64> {
    let found = figures.iter().find(|(name, _)| *name == row);
    found.map(|(_, figure)| *figure)
}

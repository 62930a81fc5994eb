//! Metrics of what is held in memory.

use super::Metrics;

/// The memory that requests, responses and connections hold at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFigures {
    /// Bytes of requests, and of responses that are not written yet.
    pub bytes_in_flight: usize,
    /// The bound of these.
    pub max_bytes_in_flight: usize,
    /// Requests and idle connections that had to make room for others, since the
    /// start.
    pub revoked: u64,
    /// Bytes that the system lets the program have; `None` without a bound.
    pub limit_bytes: Option<u64>,
}

impl Metrics {
    /// Takes over what is held now.
    pub fn memory_sampled(&self, figures: MemoryFigures) {
        let families = &self.families;
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        families
            .bytes_in_flight
            .set(bytes(figures.bytes_in_flight as u64));
        families
            .max_bytes_in_flight
            .set(bytes(figures.max_bytes_in_flight as u64));
        families
            .memory_limit
            .set(bytes(figures.limit_bytes.unwrap_or_default()));
        let counted = families.revocations.get();
        families
            .revocations
            .inc_by(figures.revoked.saturating_sub(counted));
    }

    /// So many blocks of the metrics log could not be written yet.
    pub fn blocks_unwritten(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.families.unwritten_blocks.set(count);
    }
}

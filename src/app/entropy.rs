//! Random numbers from the operating system, for code that takes them as parameters.

use anyhow::Context as _;

/// 128 unpredictable bits.
pub(super) fn bytes() -> anyhow::Result<[u8; 16]> {
    filled()
}

/// 256 unpredictable bits.
pub(super) fn key() -> anyhow::Result<[u8; 32]> {
    filled()
}

/// A seed for a random number generator.
pub(super) fn seed() -> anyhow::Result<u64> {
    filled().map(u64::from_ne_bytes)
}

#[expect(clippy::disallowed_methods, reason = "the one place of random numbers")]
fn filled<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).context("the operating system gives no random numbers")?;
    Ok(bytes)
}

/// A number from 0 to 1 for spreading simultaneous actions.
pub(super) fn jitter() -> f64 {
    let random = bytes().map_or(u32::MAX / 2, |[a, b, c, d, ..]| {
        u32::from_ne_bytes([a, b, c, d])
    });
    f64::from(random) / f64::from(u32::MAX)
}

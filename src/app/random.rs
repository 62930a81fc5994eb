//! Chance, for whoever is given it as a parameter.

use anyhow::Context as _;

/// 128 bits that nobody can guess.
pub(super) fn bytes() -> anyhow::Result<[u8; 16]> {
    filled()
}

/// Something for a generator of random numbers to begin with.
pub(super) fn seed() -> anyhow::Result<u64> {
    filled().map(u64::from_ne_bytes)
}

fn filled<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).context("the operating system gives no random numbers")?;
    Ok(bytes)
}

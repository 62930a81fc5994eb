//! Chance, for whoever is given it as a parameter.

use anyhow::Context as _;

/// 128 bits that nobody can guess.
pub(super) fn bytes() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).context("the operating system gives no random numbers")?;
    Ok(bytes)
}

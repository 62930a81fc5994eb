//! Cardinality estimate of a `HyperLogLog` sketch: the improved raw estimator of Otmar
//! Ertl, "New cardinality estimation algorithms for `HyperLogLog` sketches", 2017,
//! <https://arxiv.org/abs/1702.01284>, section 4. It needs neither bias tables nor
//! separate methods for small and large counts, and it accounts for the cap on ranks.

use std::f64::consts::LN_2;

/// Bits of the hash that choose a register. The standard error is 1.04 / sqrt(2^17) =
/// 0.29 %.
pub(super) const INDEX_BITS: u32 = 17;
/// Bits of the hash whose leading zeros are counted.
pub(super) const RANK_BITS: u32 = 9;

pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
/// The highest value of a register: all rank bits are zero.
pub(super) const MAX_RANK: usize = RANK_BITS as usize + 1;

/// The number of registers of each value.
pub(super) type Histogram = [usize; MAX_RANK + 1];

/// Upper limit of an estimate: the number of IPv4 addresses.
const CEILING: f64 = 4_294_967_296.0;

pub(super) fn estimate(histogram: &Histogram) -> u64 {
    let registers = float(REGISTERS);
    let saturated = float(histogram[MAX_RANK]) / registers;
    let empty = float(histogram[0]) / registers;
    let highest = registers * tau(1.0 - saturated);
    let ranks = histogram[1..MAX_RANK].iter().rev();
    let sum = ranks.fold(highest, |sum, count| 0.5 * (sum + float(*count)));
    let harmonic = sum + registers * sigma(empty);
    whole(registers * registers / (2.0 * LN_2 * harmonic))
}

/// x + Σ x^(2^k) 2^(k-1): the share of the empty registers. Infinite at 1.
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (x, 1.0, x);
    loop {
        power *= power;
        let next = sum + power * weight;
        if next <= sum {
            return sum;
        }
        sum = next;
        weight += weight;
    }
}

/// (1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3: the share of the highest rank.
fn tau(x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (x, 1.0, 1.0 - x);
    loop {
        root = root.sqrt();
        weight *= 0.5;
        let next = sum - (1.0 - root) * (1.0 - root) * weight;
        if next >= sum {
            return sum / 3.0;
        }
        sum = next;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of registers are small")]
fn float(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and the ceiling, which is a whole number"
)]
fn whole(estimate: f64) -> u64 {
    estimate.round().clamp(0.0, CEILING) as u64
}

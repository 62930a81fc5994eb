use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// Distinct addresses; two blocks have none in common.
fn addresses(block: u32, count: u32) -> impl Iterator<Item = IpAddr> {
    let bits = u64::from(block) << 32;
    (0..count).map(move |number| match number % 2 {
        // Multiplication by an odd factor keeps the addresses distinct.
        0 => Ipv4Addr::from_bits((block << 25 ^ number).wrapping_mul(2_654_435_769)).into(),
        _ => Ipv6Addr::from_bits(u128::from(bits + u64::from(number)) << 64).into(),
    })
}

fn sketch_of(addresses: impl IntoIterator<Item = IpAddr>) -> Sketch {
    let mut sketch = Sketch::new();
    for address in addresses {
        sketch.insert(address);
    }
    sketch
}

/// The relative error of an estimate.
fn error(estimate: u64, truth: u32) -> f64 {
    (f64::from(u32::try_from(estimate).unwrap()) - f64::from(truth)) / f64::from(truth)
}

#[test]
fn none_is_none_and_few_are_counted_to_the_address() {
    assert_eq!(Sketch::new().estimate(), 0);
    for count in 1..=40 {
        assert_eq!(sketch_of(addresses(0, count)).estimate(), u64::from(count));
    }
}

#[test]
fn estimates_are_within_one_percent_up_to_a_million() {
    let mut sketch = Sketch::new();
    let marks = [
        100, 1_000, 5_000, 10_000, 50_000, 150_000, 500_000, 1_000_000, 3_000_000,
    ];
    for (count, address) in (1..).zip(addresses(1, 1_000_000)) {
        sketch.insert(address);
        if marks.contains(&count) {
            let error = error(sketch.estimate(), count);
            println!("{count}: {:.2} %", 100.0 * error);
            assert!(error.abs() < 0.01, "{count}: {error}");
        }
    }
}

#[test]
fn the_error_is_what_the_theory_says() {
    let (count, trials) = (50_000, 30);
    let errors: Vec<f64> = (0..trials)
        .map(|block| error(sketch_of(addresses(block, count)).estimate(), count))
        .collect();
    let trials = f64::from(trials);
    let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / trials).sqrt();
    let bias = errors.iter().sum::<f64>() / trials;
    println!(
        "deviation {:.3} %, bias {:.3} %",
        100.0 * deviation,
        100.0 * bias
    );
    assert!((0.001..0.0036).contains(&deviation), "{deviation}");
    assert!(bias.abs() < 0.0015, "{bias}");
}

#[test]
fn an_address_counts_once_and_mapped_as_itself() {
    let mut sketch = sketch_of(["192.0.2.1".parse().unwrap()]);
    sketch.insert("::ffff:192.0.2.1".parse().unwrap());
    assert_eq!(sketch.estimate(), 1);
}

#[test]
fn a_sketch_takes_64_kib_at_most() {
    let mut sketch = Sketch::new();
    for address in addresses(0, 300_000) {
        sketch.insert(address);
        assert!(sketch.heap_size() <= 65_536);
    }
}

#[test]
fn a_full_sketch_does_not_overflow() {
    let full = vec![0xaa; REGISTERS / 2];
    let sketch: Sketch = format!("d17.9:{}", BASE64.encode(full)).parse().unwrap();
    assert_eq!(sketch.estimate(), 1 << 32);
}

/// Files must stay readable. The text was computed independently, with another `SipHash`.
#[test]
fn the_text_of_a_sketch_never_changes() {
    let sketch = sketch_of(["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert_eq!(sketch.to_string(), "s17.9:FtQTHRmS");
}

#[test]
fn what_is_no_sketch_is_refused() {
    let dense = |byte: u8, length: usize| format!("d17.9:{}", BASE64.encode(vec![byte; length]));
    let sparse = |bytes: &[u8]| format!("s17.9:{}", BASE64.encode(bytes));
    for wrong in [
        String::new(),
        "s17.9".into(),
        "s16.9:".into(),
        "s17.9:A".into(),
        sparse(&[0, 0]),
        sparse(&[0, 0, 0]),
        sparse(&[0, 0, 11]),
        sparse(&[0x20, 0, 1]),
        sparse(&[0, 1, 1, 0, 0, 1]),
        sparse(&[0, 0, 1, 0, 0, 2]),
        dense(0, REGISTERS / 2 - 1),
        dense(0x0b, REGISTERS / 2),
        dense(0xb0, REGISTERS / 2),
    ] {
        assert_eq!(wrong.parse::<Sketch>(), Err(InvalidSketch), "{wrong:.40}");
    }
}

/// A straightforward implementation: the highest rank by index.
fn naive(hashes: &[u64]) -> BTreeMap<u64, u32> {
    let mut registers = BTreeMap::new();
    for hash in hashes {
        let rank = 1 + (0..9).take_while(|bit| hash >> (46 - bit) & 1 == 0).count();
        let register = registers.entry(hash >> 47).or_insert(0);
        *register = u32::try_from(rank).unwrap().max(*register);
    }
    registers
}

fn registers(sketch: &Sketch) -> BTreeMap<u64, u32> {
    let split = |entry: Entry| (u64::from(entry >> 4), entry & 0xf);
    sketch.entries().map(split).collect()
}

fn sketch_of_hashes(hashes: &[u64]) -> Sketch {
    let mut sketch = Sketch::new();
    for hash in hashes {
        sketch.insert_hash(SketchHash::from_bits(*hash));
    }
    sketch
}

/// Hashes for a sparse or a dense sketch, some with many zeros after the index.
fn hashes() -> impl Strategy<Value = Vec<u64>> {
    let zeros = (any::<u64>(), 0..48_u32)
        .prop_map(|(hash, zeros)| hash & !(u64::MAX >> 17) | (hash & (u64::MAX >> 17)) >> zeros);
    prop_oneof![
        3 => prop::collection::vec(zeros.clone(), 0..50),
        1 => prop::collection::vec(zeros, 8_000..9_500),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sketch_has_the_highest_rank_of_each_index(hashes in hashes()) {
        prop_assert_eq!(registers(&sketch_of_hashes(&hashes)), naive(&hashes));
    }

    #[test]
    fn merged_is_as_if_all_had_been_inserted(first in hashes(), second in hashes()) {
        let mut merged = sketch_of_hashes(&first);
        merged.merge(&sketch_of_hashes(&second));
        let both = [first, second].concat();
        prop_assert_eq!(merged, sketch_of_hashes(&both));
    }

    #[test]
    fn text_and_back_is_the_same(hashes in hashes()) {
        let sketch = sketch_of_hashes(&hashes);
        prop_assert_eq!(sketch.to_string().parse(), Ok(sketch));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[sd]17\\.9:[A-Za-z0-9+/=]{0,60}") {
        if let Ok(sketch) = text.parse::<Sketch>() {
            prop_assert!(sketch.estimate() <= 60);
        }
    }
}

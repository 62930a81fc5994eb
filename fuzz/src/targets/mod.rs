//! What each fuzz target does with its input. A target panics at a fault of the broker.
//!
//! `cargo fuzz` runs them on inputs of its own, and `tests/pure` on those in `corpus`.

mod addresses;
mod bodies;
mod configuration;
mod facade;
mod fronts;
mod lists;
mod messages;
mod names;
mod records;
mod scrubber;

/// A name, and what is done with an input.
type Target = (&'static str, fn(&[u8]));

/// All targets, by name.
pub(crate) const TARGETS: [Target; 12] = [
    ("addresses", addresses::addresses),
    ("bodies", bodies::bodies),
    ("configuration", configuration::configuration),
    ("engine", engine),
    ("facade", facade::facade),
    ("http1", fronts::http1),
    ("http2", fronts::http2),
    ("lists", lists::lists),
    ("messages", messages::messages),
    ("names", names::names),
    ("records", records::records),
    ("scrubber", scrubber::scrubber),
];

/// Runs the target of this name.
pub(crate) fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    target(input);
}

/// The engine and the naive reference of its model test, by a script that the input chooses.
fn engine(input: &[u8]) {
    crate::matching_model::run_chosen_by(input);
}

/// The input in two: its first byte, which chooses one of `count` things to do, and the rest.
fn choice(input: &[u8], count: u8) -> Option<(u8, &[u8])> {
    let (&first, rest) = input.split_first()?;
    Some((first % count, rest))
}

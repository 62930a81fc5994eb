//! Fuzz targets, and what they share with the tests: see `targets`.

mod targets;

#[path = "../../tests/pure"]
mod pure {
    pub(crate) mod engine;
    #[expect(dead_code, unused_imports, reason = "its tests are run elsewhere")]
    pub(crate) mod matching_model;
}

#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../../tests/support"]
mod support {
    pub(crate) mod counted;
    pub(crate) mod front;
    pub(crate) mod in_process;
    pub(crate) mod messages;
    pub(crate) mod privacy;
    pub(crate) mod private_pools;
    pub(crate) mod serve;
    pub(crate) mod watched;
}

// Where they are in the tests.
use pure::{engine, matching_model};

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or at a fault of the broker.
pub fn run(name: &str, input: &[u8]) {
    targets::run(name, input);
}

#!/usr/bin/env bash
# Help texts of prometheus-client, depending on how a family enters the registry.
#
# Guess: a help text is shown as given, and a family looks the same whether it is registered
# or written by a `Collector` with the same name and text.
#
# Seen with prometheus-client 0.25.2: the registry appends a full stop to each text that it
# is given; `encode_descriptor` in a collector does not. The registry also writes all
# collectors after all families, regardless of their order of registration, so a family that
# moves into a collector moves on the page, too.
#
# So a collector must end its texts itself, and a page whose order matters to readers must
# be written by only one of the two.
#
# Needs cargo with a compiler; uses no network except for the crates.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "helps"
version = "0.1.0"
edition = "2024"

[dependencies]
prometheus-client = { version = "=0.25.2", default-features = false }
TOML

cat >src/main.rs <<'RUST'
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::Counter},
    registry::Registry,
};

#[derive(Debug)]
struct Proxies;

impl Collector for Proxies {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let family = encoder.encode_descriptor("proxies", "Those", None, MetricType::Counter)?;
        Counter::<u64>::default().encode(family)
    }
}

fn main() {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Proxies));
    registry.register("clients", "Those", Counter::<u64>::default());
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let helps = page.lines().filter(|line| line.starts_with("# HELP"));
    helps.for_each(|line| println!("{line}"));
}
RUST

cargo build --quiet
cargo tree --depth 1 --prefix none | grep '^prometheus-client v'
seen=$(target/debug/helps)
echo "$seen"
[[ $seen == "# HELP clients Those.
# HELP proxies Those" ]] || { echo "this has changed" >&2; exit 1; }

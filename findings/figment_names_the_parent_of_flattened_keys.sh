#!/usr/bin/env bash
# The key in figment's error if serde flattens one struct into another.
#
# Guess: settings that two sections share can be one struct, included in each by
# `#[serde(flatten)]`: the error about an invalid value names its key, as without
# flattening.
#
# Seen with figment 0.10.19 and serde 1.0.229: without `flatten`, the error names
# `admin.tls.cert`; with it, `admin.tls`. serde buffers flattened values and deserializes
# them from the buffer, but figment records the path to a value only while it hands out the
# value. An unknown key is refused in both cases, and its name is lost, too.
#
# So sections with common keys should be separate structs, with the common part checked by
# one function.
#
# Needs cargo with a compiler; uses no network except for the crates.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "flattened"
version = "0.1.0"
edition = "2024"

[dependencies]
figment = { version = "=0.10.19", features = ["toml"] }
serde = { version = "=1.0.229", features = ["derive"] }
TOML

cat >src/main.rs <<'RUST'
use figment::{Figment, providers::{Format, Toml}};
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Debug, Deserialize)]
struct Config<T> {
    #[allow(dead_code)]
    admin: Admin<T>,
}

#[derive(Debug, Deserialize)]
struct Admin<T> {
    #[allow(dead_code)]
    tls: T,
}

#[allow(dead_code)]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    cert: Option<String>,
    ca: Option<String>,
}

#[allow(dead_code)]
#[derive(Debug, Deserialize)]
struct Pair {
    cert: Option<String>,
}

#[allow(dead_code)]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    #[serde(flatten)]
    pair: Pair,
    ca: Option<String>,
}

fn outcome<T: DeserializeOwned>(key: &str, value: &str) -> String {
    let text = format!("[admin.tls]\n{key} = {value}\n");
    match Figment::from(Toml::string(&text)).extract::<Config<T>>() {
        Ok(_) => "taken".to_owned(),
        Err(error) => format!("refused, the key is {:?}", error.path.join(".")),
    }
}

fn main() {
    for (key, value) in [("cert", "5"), ("cret", "\"a\"")] {
        println!("plain, {key}: {}", outcome::<Plain>(key, value));
        println!("flattened, {key}: {}", outcome::<Flattened>(key, value));
    }
}
RUST

cargo build --quiet
cargo tree --depth 1 --prefix none | grep --extended-regexp '^(figment|serde) v'
seen=$(target/debug/flattened)
echo "$seen"
[[ $seen == 'plain, cert: refused, the key is "admin.tls.cert"
flattened, cert: refused, the key is "admin.tls"
plain, cret: refused, the key is "admin.tls.cret"
flattened, cret: refused, the key is "admin.tls"' ]] || { echo "this has changed" >&2; exit 1; }

//! The examples of `docs/policy.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::program::Broker;

/// The names of the rules in a configuration.
fn names(configuration: &str) -> BTreeSet<String> {
    let file = format!("[tls]\ndisable = true\n{configuration}");
    let printed = Broker::with_file("", &file).printed();
    let rules = printed["policy"]["rules"].as_array().expect("an array");
    let name = |rule: &toml::Value| rule["name"].as_str().map(str::to_owned);
    rules.iter().filter_map(name).collect()
}

#[test]
fn the_examples_of_the_page_are_configurations() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks = page.split("```toml\n").skip(1);
    let examples: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    let all: BTreeSet<String> = examples.iter().flat_map(|example| names(example)).collect();
    let expected = [
        "proxies-in-censored-countries",
        "russia-old-go",
        "spare-phones",
        "tor-relays",
        "web-extensions-for-russia",
    ];
    assert_eq!(all, expected.map(str::to_owned).into());
    // All of them at once, too, since each stands alone on the page.
    assert_eq!(names(&examples[1..5].concat()).len(), 4);
}

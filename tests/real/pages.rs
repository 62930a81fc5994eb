//! The documentation is as it says: each page's commands run from top to bottom as they
//! stand, and print what the page says; files that a page shows are ones that the broker,
//! systemd or Nix takes; links lead somewhere.
//!
//! `markdown` tells which comments in a page speak to these tests, `machine` where the
//! commands run.

mod contents;
mod links;
mod machine;
pub(crate) mod markdown;
mod settings;

use std::fs;
use std::path::Path;

use markdown::{Item, Page, Role};

/// What is in blocks that are not run, and why. They are looked at by `bash -n`.
const SYNTAX_ONLY: [(&str, &str); 5] = [
    ("tests/run", "these tests would run themselves"),
    (
        "UPDATE=1 cargo test",
        "these tests would change what they compare",
    ),
    ("tests/with-schedules", "tests/run does it"),
    (
        "cargo +nightly fuzz",
        "it is built for half an hour; tests/pure runs its inputs",
    ),
    (
        "target/dist/examples/",
        "they measure for minutes to hours; tests/program runs them shortened",
    ),
];

/// Pages whose commands are run elsewhere, and where. Here they are looked at by `bash -n`.
const RUN_ELSEWHERE: [(&str, &str); 1] = [(
    "docs/install.md",
    "ops/package-test runs them, on systems that it boots for that",
)];

/// A test for each page.
macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[tokio::test]
            async fn $name() {
                check($path).await;
            }
        )*
    };
}

pages! {
    readme: "README.md",
    changelog: "CHANGELOG.md",
    contributing: "CONTRIBUTING.md",
    security: "SECURITY.md",
    admin: "docs/admin.md",
    amp: "docs/amp.md",
    architecture: "docs/architecture.md",
    backups: "docs/backups.md",
    bridges: "docs/bridges.md",
    certificates: "docs/certificates.md",
    cluster: "docs/cluster.md",
    configuration: "docs/configuration.md",
    countries: "docs/countries.md",
    federation: "docs/federation.md",
    install: "docs/install.md",
    limits: "docs/limits.md",
    matching: "docs/matching.md",
    metrics: "docs/metrics.md",
    nat: "docs/nat.md",
    nixos: "docs/nixos.md",
    otel: "docs/otel.md",
    own_snowflake: "docs/own-snowflake.md",
    performance: "docs/performance.md",
    policy: "docs/policy.md",
    poll_interval: "docs/poll-interval.md",
    privacy: "docs/privacy.md",
    private_pools: "docs/private-pools.md",
    probe: "docs/probe.md",
    protocol: "docs/protocol.md",
    reliability: "docs/reliability.md",
    reverse_proxy: "docs/reverse-proxy.md",
    settings_page: "docs/settings.md",
    sizing: "docs/sizing.md",
    sqs: "docs/sqs.md",
    status_page: "docs/status.md",
    supply_chain: "docs/supply-chain.md",
    switching: "docs/switching.md",
    systemd: "docs/systemd.md",
    threat_model: "docs/threat-model.md",
    troubleshooting: "docs/troubleshooting.md",
}

async fn check(path: &str) {
    if cfg!(not(feature = "sqs")) && path == "docs/sqs.md" {
        // Its settings are refused then, as a test of the settings says.
        return;
    }
    let probes = ["docs/own-snowflake.md", "docs/probe.md"];
    if cfg!(not(feature = "probe")) && probes.contains(&path) {
        return;
    }
    let page = Page::read(path);
    contents::check(&page);
    let mut syntax_only = SYNTAX_ONLY.map(|(part, _)| part).to_vec();
    if RUN_ELSEWHERE.iter().any(|(page, _)| *page == path) {
        // Every block has this part.
        syntax_only.push("");
    }
    machine::run(&page, &syntax_only).await;
}

#[test]
fn every_page_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|end| end == "md") {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    found.sort();
    let mut tested = PAGES.to_vec();
    tested.sort_unstable();
    assert_eq!(found, tested);
}

#[test]
fn links_lead_somewhere() {
    links::lead_somewhere(&pages());
}

#[test]
fn settings_and_commands_in_the_text_are_there() {
    links::name_what_there_is(&pages());
}

#[test]
fn blocks_that_are_not_run_are_in_a_page() {
    let pages = pages();
    for (part, _) in SYNTAX_ONLY {
        let mut blocks = pages.iter().flat_map(Page::blocks);
        assert!(blocks.any(|block| block.content.contains(part)), "{part}");
    }
}

fn pages() -> Vec<Page> {
    PAGES.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn a_page_is_read_as_it_is_shown() {
    let text = "# A *page*\n\n<!-- test: file /etc/a -->\n\n```toml\na = 1\n```\n\n\
        1. ```sh\n   true\n   ```\n\n<!-- test: run\nx\n-->\n\n## A `b`, c!\n\n[l](x.md#a) `a.b`\n";
    let page = Page::parse("p.md", text);
    let anchors: Vec<&str> = page.anchors.iter().map(String::as_str).collect();
    assert_eq!(anchors, ["a-b-c", "a-page"]);
    let blocks: Vec<_> = page.blocks().collect();
    assert_eq!(blocks[0].role, Role::File("/etc/a".into()));
    assert_eq!((blocks[0].line, &*blocks[0].content), (5, "a = 1\n"));
    assert_eq!(
        (&*blocks[1].language, &*blocks[1].content),
        ("sh", "true\n")
    );
    let hidden = page.items.iter().any(|item| match item {
        Item::Hidden { script, .. } => script == "x\n",
        _ => false,
    });
    assert!(hidden);
    assert_eq!(page.links, [(19, "x.md#a".to_owned())]);
}

#[test]
fn three_dots_stand_for_anything() {
    for (output, expected, fits) in [
        ("a\n", "a", true),
        ("a\nb", "a", false),
        ("a 12 b\nc", "a ... b\n...", true),
        ("a b a c", "...c", true),
        ("a c b", "...c", false),
        ("a c b c", "a...c", true),
    ] {
        assert_eq!(machine::fits(output, expected), fits, "{expected}");
    }
}

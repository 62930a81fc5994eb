//! `examples/soak`, shortened, and the parts of it that judge.

#[path = "../../examples/soak/books.rs"]
#[expect(dead_code, reason = "the counts against each other need a whole page")]
mod books;
#[path = "../../examples/soak/log_lines.rs"]
mod log_lines;
#[path = "../../examples/soak/regression.rs"]
mod regression;
#[path = "../../examples/soak/tally.rs"]
#[expect(dead_code, reason = "no load is here")]
mod tally;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::examples::{BROKER, example};
use crate::support::exposition::Exposition;

use regression::Line;
use tally::{Fate, Kind, Tally};

/// Bounds a run that would hang; none is expected to come near it.
const LONG_ENOUGH: Duration = Duration::from_mins(4);
const PAGE: &str = "docs/reliability.md";

/// The names of the figures in the page's table.
fn figures(page: &str) -> Vec<&str> {
    let (_, table) = page.split_once("<!-- table: soak -->\n\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').nth(1).unwrap()).collect()
}

/// The short form, in which memory tells nothing.
#[tokio::test]
async fn a_broker_in_load_and_faults_keeps_its_books() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [copy, plot] = ["page.md", "plot.svg"].map(|name| folder.path().join(name));
    fs::write(&copy, &page).unwrap();
    let mut soak = Command::new(example("soak"));
    soak.arg(&copy)
        .args([
            "--broker",
            BROKER,
            "--minutes=0.3",
            "--faults=6s",
            "--settle=8s",
        ])
        .args(["--clients=4", "--proxies=40", "--keep"])
        .arg(folder.path())
        .arg("--plot")
        .arg(&plot)
        .kill_on_drop(true);
    let output = timeout(LONG_ENOUGH, soak.output()).await.unwrap().unwrap();
    let report = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{report}\n{output:?}");
    assert_eq!(report.lines().count(), 17, "{report}");
    assert!(
        report.lines().all(|line| line.starts_with("ok  ")),
        "{report}"
    );
    assert!(report.contains("ok      memory grows by "), "{report}");
    assert!(report.contains("(those of people not judged)"), "{report}");

    let made = fs::read_to_string(&copy).unwrap();
    assert_eq!(figures(&made), figures(&page));
    let svg = fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("regression"));
}

/// Points at each second, around a line that grows by 2 a second.
fn points(noise: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let seconds = (0..400).map(f64::from);
    seconds.map(|x| (x, 5.0 + 2.0 * x + noise(x))).collect()
}

#[test]
fn a_slope_is_found_with_its_uncertainty() {
    assert!(Line::fit(&points(|_| 0.0)[..3]).is_none());
    let exact = Line::fit(&points(|_| 0.0)).unwrap();
    assert!((exact.slope - 2.0).abs() < 1e-9 && (exact.at(0.0) - 5.0).abs() < 1e-6);
    assert!(exact.error < 1e-9);
    // Of independent noise of one unit: 1 / sqrt(sum of (x - mean)^2).
    let noisy = Line::fit(&points(|x| if x % 2.0 < 1.0 { 1.0 } else { -1.0 })).unwrap();
    let expected = (12.0 / 400_f64.powi(3)).sqrt();
    assert!((noisy.error / expected - 1.0).abs() < 0.02, "{noisy:?}");
    let [least, most] = noisy.bounds();
    assert!(
        least < 2.0 && 2.0 < most && most - least < 0.01,
        "{noisy:?}"
    );
    // Slow waves look like a trend, so they make it less certain than their size says.
    let slow = Line::fit(&points(|x| (x / 20.0).sin())).unwrap();
    assert!(slow.error > 10.0 * expected, "{slow:?}");
}

#[test]
fn lines_of_the_log_are_expected_by_level_and_kind() {
    let at = "2026-11-30T12:48:46.432152Z";
    let good = format!(
        "{at}  INFO configuration reloaded changes=\"a\"\n{at}  WARN cluster: nothing is heard of a node node=b\n"
    );
    assert!(log_lines::unexpected(&good).is_empty());
    for bad in [
        format!("{at} ERROR configuration reloaded"),
        format!("{at}  INFO something new"),
        "panicked".to_owned(),
    ] {
        assert_eq!(log_lines::unexpected(&format!("{good}{bad}\n")), [bad]);
    }
}

/// A page on which these numbers of polls have an outcome.
fn page(counts: [u64; 4]) -> Exposition {
    const HEAD: &str = "# HELP snowflake_broker_proxy_polls_total a\n\
         # TYPE snowflake_broker_proxy_polls_total counter\n";
    let outcomes = ["matched", "idle", "refused", "abandoned"].iter();
    let line = |(outcome, count)| {
        format!("snowflake_broker_proxy_polls_total{{outcome=\"{outcome}\"}} {count}\n")
    };
    let lines: String = outcomes.zip(counts).map(line).collect();
    Exposition::text(&format!("{HEAD}{lines}")).unwrap()
}

#[test]
fn a_count_that_is_off_by_one_is_found() {
    let tally = Tally::default();
    tally.add_many(Kind::Proxy, Fate::Known("matched"), 5);
    tally.add_many(Kind::Proxy, Fate::Known("idle"), 3);
    let is_good = |counts| {
        let balances = books::against_load(&page(counts), &tally);
        let of_polls = balances
            .iter()
            .find(|one| one.text.starts_with("proxy polls:"));
        of_polls.unwrap().is_good
    };
    assert!(is_good([5, 3, 0, 0]));
    for wrong in [
        [6, 3, 0, 0],
        [4, 3, 0, 0],
        [5, 2, 0, 0],
        [5, 3, 1, 0],
        [4, 4, 0, 0],
    ] {
        assert!(!is_good(wrong), "{wrong:?}");
    }
    // One has left, and may have had any outcome; but only one.
    tally.add(Kind::Proxy, Fate::Left);
    for fine in [[5, 3, 0, 0], [6, 3, 0, 0], [5, 3, 0, 1]] {
        assert!(is_good(fine), "{fine:?}");
    }
    for wrong in [[7, 3, 0, 0], [6, 4, 0, 0], [5, 3, 1, 1]] {
        assert!(!is_good(wrong), "{wrong:?}");
    }
    // Two had no end, so they were refused if they were counted.
    tally.add_many(Kind::Proxy, Fate::Unfinished, 2);
    assert!(is_good([6, 3, 2, 0]) && !is_good([7, 3, 1, 0]));
}

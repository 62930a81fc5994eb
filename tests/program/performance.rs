//! `docs/performance.md`: its commands run, its plots are there, and its tables say
//! what was measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::examples::{BROKER, example};

/// Bounds a command that would hang; none is expected to come near it.
const LONG_ENOUGH: Duration = Duration::from_mins(20);
const PAGE: &str = "docs/performance.md";
const FIGURES: &str = "docs/performance";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(repository().join(PAGE)).unwrap()
}

/// The commands of the page, a line each.
fn commands() -> Vec<String> {
    let page = page();
    let blocks = page.split("\n```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("\n```").next().unwrap().lines());
    lines.map(str::to_owned).collect()
}

/// Runs a command of the page in a copy of the repository's folder, with the
/// programs of this build.
async fn run(command: &str, folder: &Path) {
    let programs = Path::new(BROKER).parent().unwrap().to_str().unwrap();
    let command = command.replace("target/dist", programs);
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LONG_ENOUGH, shell.output())
        .await
        .expect("a command hangs")
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

/// A folder with the page and these figures in it.
fn copy(figures: &[PathBuf]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(FIGURES)).unwrap();
    fs::write(folder.path().join(PAGE), page()).unwrap();
    for file in figures {
        let name = Path::new(FIGURES).join(file.file_name().unwrap());
        fs::copy(file, folder.path().join(name)).unwrap();
    }
    folder
}

/// The files beside the page of this kind.
fn files(extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(repository().join(FIGURES))
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|found| found == extension))
        .collect()
}

/// The plots that the page shows, relative to it.
fn plots() -> Vec<String> {
    let page = page();
    let images = page.split("](performance/").skip(1);
    images
        .map(|image| image.split(')').next().unwrap().to_owned())
        .collect()
}

/// The short form, which measures nothing and takes a minute.
#[tokio::test]
async fn the_commands_measure_everything_and_fill_the_page() {
    example("scenarios");
    let folder = copy(&[]);
    let commands = commands();
    let [build, scenarios, fill] = commands.as_slice() else {
        panic!("three commands, not {commands:?}");
    };
    assert_eq!(
        build,
        "cargo build --profile dist --features jemalloc,sqs --bin snowflake-broker --examples"
    );
    run(&scenarios.replace(" --full", ""), folder.path()).await;
    run(fill, folder.path()).await;
    for plot in plots() {
        let plot = folder.path().join(FIGURES).join(plot);
        let svg = fs::read_to_string(&plot).unwrap();
        assert!(svg.starts_with("<svg"), "{}", plot.display());
    }
    let page = fs::read_to_string(folder.path().join(PAGE)).unwrap();
    for table in page.split("<!-- table: ").skip(1) {
        let (name, rest) = table.split_once(" -->\n\n").unwrap();
        let table = rest.split("\n\n").next().unwrap();
        assert!(table.lines().count() > 2, "{name}: {table}");
        assert!(!table.contains("NaN"), "{name}: {table}");
    }
    assert!(page.contains("(only tried, not measured)"));
}

#[test]
fn every_plot_is_there_and_shown() {
    let mut shown = plots();
    shown.sort();
    let there = files("svg").into_iter();
    let name = |file: PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    let mut there: Vec<String> = there.map(name).collect();
    there.sort();
    assert_eq!(shown, there);
}

#[test]
fn all_figures_were_measured_and_no_answer_was_lost() {
    for file in files("json") {
        let name = file.display();
        let figures: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(figures["is_full"], true, "{name}");
        for row in figures["rows"].as_array().unwrap() {
            let runs = ["broker", "floor"].map(|server| row["runs"][server].as_array().unwrap());
            for run in runs.into_iter().flatten() {
                assert_eq!(run["correct"], true, "{name}, {}", row["name"]);
            }
        }
    }
}

#[tokio::test]
async fn the_tables_and_plots_are_made_of_the_figures() {
    example("plots");
    let folder = copy(&files("json"));
    run(commands().last().unwrap(), folder.path()).await;
    let made = fs::read_to_string(folder.path().join(PAGE)).unwrap();
    assert_eq!(made, page(), "`plots docs/performance` changes the page");
    for plot in plots() {
        let made = fs::read(folder.path().join(FIGURES).join(&plot)).unwrap();
        let committed = fs::read(repository().join(FIGURES).join(&plot)).unwrap();
        assert!(made == committed, "`plots docs/performance` changes {plot}");
    }
}

//! `docs/matching.md`: its commands run, and its tables and plots are what the commands make.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::examples::example;

const PAGE: &str = "docs/matching.md";
const PROGRAMS: [&str; 2] = ["supply", "learning"];
const PLOTS: &str = "docs/matching";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The name, head and number of lines of each table that is made.
fn tables(page: &str) -> Vec<(&str, &str, usize)> {
    let tables = page.split("<!-- table: ").skip(1);
    let table = |table| {
        let (name, rest): (&str, &str) = str::split_once(table, " -->\n\n").unwrap();
        let lines = rest.lines().take_while(|line| line.starts_with('|'));
        (name, rest.lines().next().unwrap(), lines.count())
    };
    tables.map(table).collect()
}

/// The names of the plots in a folder of the page.
fn plots(root: &Path) -> Vec<String> {
    let plots = fs::read_dir(root.join(PLOTS)).unwrap();
    let name = |plot: fs::DirEntry| plot.file_name().into_string().unwrap();
    let mut names: Vec<String> = plots.map(|plot| name(plot.unwrap())).collect();
    names.sort();
    names
}

/// The short form, which shows nothing of attackers.
#[test]
fn the_commands_make_the_tables_and_plots_of_the_page() {
    let page = fs::read_to_string(repository().join(PAGE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("docs")).unwrap();
    fs::write(folder.path().join(PAGE), &page).unwrap();
    for program in PROGRAMS {
        let command = format!("\ntarget/dist/examples/{program} {PAGE}\n");
        assert!(page.contains(&command), "{command}");
        let status = Command::new(example(program))
            .args([PAGE, "--brief", "--seeds=1"])
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success());
    }
    let made = fs::read_to_string(folder.path().join(PAGE)).unwrap();
    assert_eq!(tables(&made), tables(&page));
    assert!(!made.contains("NaN"));
    assert_eq!(plots(folder.path()), plots(repository()));
    for plot in plots(repository()) {
        assert!(page.contains(&format!("](matching/{plot})")), "{plot}");
    }
}

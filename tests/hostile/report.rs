//! Tests in their own networks, and the table of their results.

use std::fmt::{self, Display};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::support::namespace;
use crate::{SHAPES, network};

/// The result of an attack.
pub(crate) struct Row {
    /// The attacker's gain.
    pub(crate) gained: String,
    /// The time of each pair, in order.
    pub(crate) pairs: Vec<Duration>,
    /// The peak resident memory, in bytes.
    pub(crate) resident: u64,
    /// The peak memory charged by the system, in bytes.
    pub(crate) charged: Option<u64>,
    /// The kind of memory limit.
    pub(crate) bounds: &'static str,
    /// The number of lines logged.
    pub(crate) lines: usize,
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| format!("{} MiB", bytes.div_ceil(1024 * 1024));
        write!(
            f,
            "{} | {} ms | {} ms | {} | {} ({}) | {} | {}",
            self.pairs.len(),
            median(&self.pairs).as_millis(),
            self.pairs.iter().max().unwrap().as_millis(),
            mebibytes(self.resident),
            self.charged.map_or("?".to_owned(), mebibytes),
            self.bounds,
            self.lines,
            self.gained,
        )
    }
}

/// The median.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

const HEAD: &str = "\
| attack | pairs | median | slowest | resident | charged | log lines | gained |
| --- | --- | --- | --- | --- | --- | --- | --- |";

/// Runs one test at a time, because simultaneous ones would affect each other's figures.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

static TABLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs the test `name` in its own namespaces and prints its row; after the last test,
/// prints the whole table.
#[expect(clippy::print_stdout, reason = "figures, shown with --nocapture")]
pub(crate) async fn row(name: &str, shape: impl AsyncFnOnce() -> Row) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}"));
    if namespace::entered() {
        network::make().await.unwrap();
        fs::write(file, shape().await.to_string()).unwrap();
        return;
    }
    let _turn = ONE_AT_A_TIME.acquire().await.unwrap();
    if let Err(error) = namespace::run_inside(name).await {
        panic!("{error:#}");
    }
    let row = format!("| {name} | {} |", fs::read_to_string(file).unwrap());
    println!("{row}");
    let mut table = TABLE.lock().unwrap();
    table.push(row);
    if table.len() == SHAPES.len() {
        println!("{HEAD}\n{}", table.join("\n"));
    }
}

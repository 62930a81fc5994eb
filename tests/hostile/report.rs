//! Tests in networks of their own, and the table of what they came to.

use std::fmt::{self, Display};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::{SHAPES, namespace, network};

/// What an attack came to.
pub(crate) struct Row {
    /// What the attacker had of it.
    pub(crate) gained: String,
    /// How long each pair took, in order.
    pub(crate) pairs: Vec<Duration>,
    /// The most that was resident, in bytes.
    pub(crate) resident: u64,
    /// The most that the system charged, in bytes.
    pub(crate) charged: Option<u64>,
    /// What bounded the memory.
    pub(crate) bounds: &'static str,
    /// Lines that were logged.
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

/// The one in the middle.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

const HEAD: &str = "\
| attack | pairs | median | slowest | resident | charged | log lines | gained |
| --- | --- | --- | --- | --- | --- | --- | --- |";

/// Side by side they would be measured against each other.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

static TABLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs the test `name` in namespaces of its own, and prints its row; after the
/// last test the whole table.
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

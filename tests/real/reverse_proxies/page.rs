//! The page.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

fn page() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reverse-proxy.md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The broker's configuration.
pub(crate) fn settings() -> Result<String> {
    block_after("<!-- test: file /etc/snowflake-broker/config.toml -->")
}

/// The block after a mark of this name.
pub(crate) fn snippet(name: &str) -> Result<String> {
    block_after(&format!("<!-- snippet: {name} -->"))
}

fn block_after(mark: &str) -> Result<String> {
    let page = page()?;
    let (_, rest) = page.split_once(mark).with_context(|| mark.to_owned())?;
    let (_, block) = rest.split_once("\n```").context("no block")?;
    let (_, block) = block.split_once('\n').context("no line")?;
    let (block, _) = block.split_once("\n```").context("no end")?;
    Ok(format!("{block}\n"))
}

/// The cells of each row between the marks of this name.
pub(crate) fn table(name: &str) -> Result<Vec<Vec<String>>> {
    let page = page()?;
    let (_, rest) = page
        .split_once(&format!("<!-- {name} -->"))
        .context("no table")?;
    let (table, _) = rest.split_once("<!-- /").context("no end")?;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    // After the heads and the line below them.
    let rows = rows.skip(2).map(|row| {
        let cells = row.trim_end_matches(" |").split(" | ");
        cells.map(str::to_owned).collect()
    });
    Ok(rows.collect())
}

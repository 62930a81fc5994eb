//! The part of the log that `/metrics` serves.

use std::fs;
use std::io::Write as _;

use crate::log::program::{Folder, Program, blocks};

const LONG: (&str, &str) = ("metrics_interval", "1d");

/// A log with a block for each of these days of 2026.
fn log_of(days: impl Iterator<Item = i32>, block: &str) -> String {
    let (_, lines) = block.split_once('\n').unwrap();
    let of_day = |day: i32| {
        let end = jiff::civil::date(2026, 1, 1).saturating_add(jiff::Span::new().days(day));
        format!("snowflake-stats-end {end} 17:04:09 (86400 s)\n{lines}")
    };
    days.map(of_day).collect()
}

/// A block as the broker writes it.
async fn block() -> String {
    let folder = Folder::new();
    let program = folder.start(&[("metrics_interval", "1ms")]).await;
    folder.until_blocks(1).await;
    program.kill().await;
    let lines: Vec<String> = folder
        .log_text()
        .lines()
        .take(33)
        .map(|l| format!("{l}\n"))
        .collect();
    lines.concat()
}

async fn served(program: &Program) -> String {
    let reply = program.metrics("").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    blocks(&reply.body);
    reply.body
}

#[tokio::test]
async fn blocks_are_appended_and_served() {
    let folder = Folder::new();
    let program = folder.start(&[("metrics_interval", "20ms")]).await;
    for count in 1..=5 {
        program.proxies(0..4).await;
        folder.until_blocks(count).await;
        let served = served(&program).await;
        assert!(folder.log_text().starts_with(&served));
        assert!(blocks(&served).len() >= count);
    }
    folder.until_seen(4).await;
    program.stop().await;
    let blocks = folder.blocks();
    let ends: Vec<&str> = blocks.iter().map(|block| &*block.end).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    let seen: u64 = blocks.iter().map(|b| b.count("snowflake-ips-total")).sum();
    assert!((4..=20).contains(&seen), "{seen}");
}

#[tokio::test]
async fn before_the_first_block_the_log_is_empty() {
    let folder = Folder::new();
    let program = folder.start(&[LONG]).await;
    assert_eq!(served(&program).await, "");
    fs::remove_file(folder.log()).unwrap();
    assert_eq!(served(&program).await, "");
}

#[tokio::test]
async fn without_a_log_there_is_nothing() {
    let folder = Folder::new();
    let program = folder.start(&[("metrics_log", ""), LONG]).await;
    let reply = program.metrics("").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn only_the_last_thirty_days_are_served() {
    let folder = Folder::new();
    let block = block().await;
    // Longer than the part that the broker reads.
    let log = log_of(0..3_000, &block);
    assert!(log.len() > 2 * 1024 * 1024, "{}", log.len());
    fs::write(folder.log(), &log).unwrap();
    let program = folder.start(&[LONG]).await;
    assert_eq!(served(&program).await, log_of(2_970..3_000, &block));
    assert_eq!(folder.log_text(), log);
}

#[tokio::test]
async fn half_a_block_is_not_served_and_is_removed_before_the_next() {
    let folder = Folder::new();
    let block = block().await;
    let whole = log_of(0..2, &block);
    fs::write(folder.log(), &whole).unwrap();
    let program = folder.start(&[LONG]).await;
    for half in [100, block.find("snowflake-ips-total").unwrap(), 5] {
        let mut log = fs::OpenOptions::new().append(true).open(folder.log());
        let log = log.as_mut().unwrap();
        log.write_all(&block.as_bytes()[..half]).unwrap();
        assert_eq!(served(&program).await, whole);
        log.set_len(whole.len() as u64).unwrap();
    }
    fs::write(folder.log(), format!("{whole}{}", &block[..200])).unwrap();
    program.kill().await;

    let program = folder.start(&[("metrics_interval", "1ms")]).await;
    folder.until_blocks(3).await;
    let said = program.stop().await;
    assert!(said.contains("removed an incomplete entry"), "{said}");
    assert!(folder.blocks().len() >= 3);
    assert!(folder.log_text().starts_with(&whole));
}

#[tokio::test]
async fn who_has_the_log_already_is_told_so() {
    let folder = Folder::new();
    let block = block().await;
    fs::write(folder.log(), &block).unwrap();
    let program = folder.start(&[LONG]).await;
    let first = program.metrics("").await;
    let tag = first.header("etag").unwrap();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() == 66,
        "{tag}"
    );
    for header in [
        format!("If-None-Match: {tag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
    ] {
        let again = program.metrics(&header).await;
        assert_eq!((again.status, &*again.body), (304, ""));
        assert_eq!(again.header("etag"), Some(tag));
        assert_eq!(again.header("access-control-allow-origin"), Some("*"));
    }
    let other = program.metrics("If-None-Match: \"0\"\r\n").await;
    assert_eq!((other.status, &other.body), (200, &block));

    fs::write(folder.log(), block.repeat(2)).unwrap();
    let changed = program.metrics(&format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((changed.status, changed.body), (200, block.repeat(2)));
}

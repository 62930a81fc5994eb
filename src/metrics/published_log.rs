//! The metrics log as read back: the end of its last complete block, and the blocks that
//! are published. Blocks of another broker release, with other lines, may come before
//! ours; their text is left as it is.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use super::distinct_ips::UniqueIps;
use super::stats_log::StatsBlock;
use super::window::WindowCounts;

/// The number of days, up to the end of the newest block, that are published.
pub const PUBLISHED_DAYS: u64 = 30;

const PUBLISHED: Duration = Duration::from_hours(PUBLISHED_DAYS * 24);

/// The beginning of a block's first line.
const BEGINNING: &[u8] = b"snowflake-stats-end ";

/// The log without the remains of a block at its end that a crash or a full disk may have
/// left: a line without a line end, and a block that lacks lines.
pub fn whole(log: &[u8]) -> &[u8] {
    let lines = whole_lines(log);
    match beginnings(lines).last() {
        Some(start) if is_cut_short(&lines[start..]) => &lines[..start],
        _ => lines,
    }
}

/// Returns true if this end of a file may be that of a metrics log: it has a block, or
/// consists of the first letters of one.
pub fn is_log(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    BEGINNING.starts_with(text) || beginnings(text).next().is_some()
}

/// Returns true if the log contains exactly this block.
pub fn has_block(log: &[u8], block: &str) -> bool {
    memchr::memmem::find(whole(log), block.as_bytes()).is_some()
}

/// Returns true if the log contains the window that began at `start`. A saved window that
/// is in the log must not be counted again.
pub fn has_window(log: &[u8], start: SystemTime) -> bool {
    let log = whole(log);
    let mut blocks = beginnings(log).filter_map(|at| window_of(&log[at..]));
    blocks.any(|(begin, end)| {
        // Blocks give whole seconds. A block that ends when this window begins is the one
        // before, however short.
        let apart = begin
            .duration_since(start)
            .unwrap_or_else(|earlier| earlier.duration());
        end > start && apart <= Duration::from_secs(1)
    })
}

/// The text up to its last line end.
pub fn whole_lines(text: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'\n', text).map_or(0, |last| last + 1);
    &text[..end]
}

/// The published part of the log: its complete blocks that ended within
/// [`PUBLISHED_DAYS`] days of the newest one's end. `log` may begin in the middle of a
/// block, which is then left out.
pub fn published(log: &[u8]) -> &[u8] {
    let log = whole(log);
    let mut first = log.len();
    let mut oldest = None;
    let starts: Vec<usize> = beginnings(log).collect();
    for start in starts.into_iter().rev() {
        // A block whose time is unreadable is treated like the one after it.
        if let Some(end) = end_of(&log[start..]) {
            let limit = *oldest.get_or_insert_with(|| end.checked_sub(PUBLISHED));
            if Some(end) <= limit {
                break;
            }
        }
        first = start;
    }
    &log[first..]
}

/// The positions at which blocks begin.
fn beginnings(log: &[u8]) -> impl Iterator<Item = usize> {
    let found = memchr::memmem::find_iter(log, BEGINNING);
    found.filter(|at| *at == 0 || log[at - 1] == b'\n')
}

/// Returns true if these are the first lines of a block of ours, but not all of its
/// lines.
fn is_cut_short(block: &[u8]) -> bool {
    let ours = StatsBlock {
        end: SystemTime::UNIX_EPOCH,
        length: Duration::ZERO,
        counts: WindowCounts::default(),
        ips: UniqueIps::default(),
        types: Vec::new(),
    }
    .encode();
    let ours = || keywords(ours.as_bytes());
    // The types with a line of their own may have been others then.
    let is_of_type = |keyword: &[u8]| {
        keyword.starts_with(b"snowflake-ips-") && ours().all(|known| known != keyword)
    };
    let mut missing = ours();
    let mut found = keywords(block).filter(|keyword| !is_of_type(keyword));
    found.all(|keyword| missing.next() == Some(keyword)) && missing.next().is_some()
}

fn keywords(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = block.split_inclusive(|byte| *byte == b'\n');
    lines.filter_map(|line| line.split(|byte| *byte == b' ').next())
}

/// The time in the first line of a block.
fn end_of(block: &[u8]) -> Option<SystemTime> {
    const LENGTH: usize = "YYYY-MM-DD HH:MM:SS".len();
    let bytes = block.get(BEGINNING.len()..)?.get(..LENGTH)?;
    let time: Timestamp = str::from_utf8(bytes).ok()?.parse().ok()?;
    time.try_into().ok()
}

/// The beginning and end of a block's window.
fn window_of(block: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let end = end_of(block)?;
    let line = block.split(|byte| *byte == b'\n').next()?;
    let (_, length) = str::from_utf8(line).ok()?.split_once(" (")?;
    let seconds: u64 = length.strip_suffix(" s)")?.parse().ok()?;
    let begin = end.checked_sub(Duration::from_secs(seconds))?;
    Some((begin, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::proxy::ProxyType;

    const DAY: u64 = 24 * 3600;

    fn block(end: u64) -> String {
        block_with(end, &[])
    }

    fn block_with(end: u64, types: &[ProxyType]) -> String {
        let block = StatsBlock {
            end: SystemTime::UNIX_EPOCH + Duration::from_secs(end),
            length: Duration::from_hours(24),
            types: types.to_vec(),
            counts: WindowCounts::default(),
            ips: UniqueIps::default(),
        };
        block.encode()
    }

    fn days(days: impl Iterator<Item = u64>) -> String {
        days.map(|day| block(day * DAY)).collect()
    }

    fn text(log: &[u8]) -> &str {
        str::from_utf8(log).unwrap()
    }

    /// A block of another release, with its own lines.
    const FOREIGN: &str = "snowflake-stats-end 1970-01-02 00:00:00 (86400 s)\n\
                           snowflake-ips DE=3\nsnowflake-ips-nat-unknown 3\n";

    #[test]
    fn what_ended_thirty_days_before_the_newest_is_not_published() {
        let log = days(1..=40);
        assert_eq!(text(published(log.as_bytes())), days(11..=40));
        assert_eq!(text(published(b"")), "");
    }

    #[test]
    fn blocks_after_a_clock_that_was_set_back_are_published() {
        let log = days([50, 49, 20, 21].into_iter());
        assert_eq!(text(published(log.as_bytes())), log);
    }

    #[test]
    fn a_log_that_is_read_from_its_middle_begins_with_a_block() {
        let log = days(1..=3);
        assert_eq!(text(published(&log.as_bytes()[10..])), days(2..=3));
        assert_eq!(text(published(b"some text\n")), "");
    }

    #[test]
    fn an_unreadable_time_hides_nothing() {
        let log = days(1..=3).replace("1970-01-03", "1970-13-03");
        assert_eq!(text(published(log.as_bytes())), log);
    }

    #[test]
    fn a_window_is_in_the_log_when_its_block_is() {
        let log = days(1..=3);
        let start = |seconds: u64, millis| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis)
        };
        for (start, is_there) in [
            (start(0, 0), true),
            (start(DAY - 1, 500), true),
            (start(2 * DAY, 999), true),
            // The next window.
            (start(3 * DAY, 0), false),
            (start(3 * DAY, 1), false),
            // A window that began in the middle of another one because the clock was set
            // back.
            (start(DAY + 3600, 0), false),
        ] {
            assert_eq!(has_window(log.as_bytes(), start), is_there, "{start:?}");
        }
        let half = &log[..log.len() - 1];
        assert!(!has_window(half.as_bytes(), start(2 * DAY, 0)));
    }

    #[test]
    fn other_files_are_told_from_a_log() {
        let log = days(1..=2);
        for is_one in ["", "\n", "snowfl", &log[..30], &log[200..], &log, FOREIGN] {
            assert!(is_log(is_one.as_bytes()), "{is_one:?}");
        }
        for is_none in ["root:x:0:0", "snowflake-ips\n", "x snowflake-stats-end 1\n"] {
            assert!(!is_log(is_none.as_bytes()), "{is_none:?}");
        }
    }

    #[test]
    fn foreign_blocks_are_left_as_they_are() {
        let log = format!("{FOREIGN}{}", block(2 * DAY));
        assert_eq!(text(published(log.as_bytes())), log);
        assert_eq!(text(published(FOREIGN.as_bytes())), FOREIGN);
        assert_eq!(text(whole(b"anything\nelse")), "anything\n");
    }

    proptest! {
        #[test]
        fn a_block_is_published_whole_or_not_at_all(
            before in 0..3u64,
            at in any::<prop::sample::Index>(),
            types in prop::sample::subsequence(ProxyType::DEFAULT.to_vec(), 0..9),
        ) {
            let last = block_with(before * DAY, &types);
            prop_assert_eq!(text(whole(last.as_bytes())), &last);
            let cut = &last[..at.index(last.len())];
            let log = format!("{}{cut}", days(0..before));
            prop_assert_eq!(text(whole(log.as_bytes())), days(0..before));
            prop_assert_eq!(text(published(log.as_bytes())), days(0..before));
        }

        #[test]
        fn no_content_makes_it_panic(log in prop::collection::vec(any::<u8>(), 0..500)) {
            let log = [BEGINNING, &log].concat();
            prop_assert!(published(&log).len() <= whole(&log).len());
        }
    }
}

//! The windows of the metrics log that all nodes have in common, and what the holder of the
//! lease has to do about them. Pure.
//!
//! When a window is over, the holder says so by writing the next one. Each node then adds
//! what it has counted as a part. When the parts of all live nodes are there, or time is up,
//! the holder merges all parts that are in no block yet into the block of the window: one
//! that comes later will be in the next. A block names its parts, and they are removed
//! when it is written. So whoever becomes the holder at any moment finds what is left to do,
//! and no part is in two blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use crate::proto::cluster::v1;

use super::parts::{self, Parts};
use super::revision::LastRevision;

/// The time for which the parts of live nodes are awaited.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of blocks that are kept for nodes that were away.
pub(super) const BLOCKS_KEPT: u64 = 16;

/// The largest number of a window.
pub(super) const NUMBER_MAX: u64 = 1 << 48;
/// The largest number of a block that cannot be read which is believed. Windows may be counted on
/// from there.
const UNREADABLE_NUMBER_MAX: u64 = 1 << 32;
/// The maximum number of blocks that cannot be read.
const UNREADABLE_MAX: usize = 1_000;

/// The windows, as one node sees them.
#[derive(Debug, Default)]
pub(super) struct WindowsView {
    /// The revision of the current window, and the window; `None` if it was deleted.
    revision: LastRevision,
    current: Option<CurrentWindow>,
    /// True if somebody has put an older window over the current one, or what is none.
    is_displaced: bool,
    parts: Parts,
    blocks: BTreeMap<u64, v1::Block>,
    /// The revisions of blocks that cannot be read.
    unreadable: BTreeMap<u64, u64>,
    /// The parts that are in a block and may still be in the bucket, by number, each with
    /// the number of its block.
    merged: BTreeMap<u64, u64>,
}

#[derive(Clone, Copy, Debug)]
struct CurrentWindow {
    number: u64,
    start: SystemTime,
    previous_start: SystemTime,
    seen: Instant,
    /// Its age at that moment. From then on our own monotonic clock counts, since wall
    /// clocks are set now and then.
    age: Duration,
}

impl CurrentWindow {
    fn window(&self) -> v1::Window {
        v1::Window {
            number: self.number,
            start: Some(self.start.into()),
            previous_start: Some(self.previous_start.into()),
        }
    }
}

/// The next thing that the holder of the lease has to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Duty {
    /// Begin a window, over this revision.
    Begin { expected: u64, window: v1::Window },
    /// Write the block of a window from these parts.
    Merge(Merge),
    /// Remove a part that is in a block, or will never be.
    ErasePart(u64),
    /// Remove an old block.
    EraseBlock(u64),
}

/// A block that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merge {
    pub(super) number: u64,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) parts: BTreeSet<u64>,
}

impl WindowsView {
    /// Notes the current window, unless it is none, or an old one that somebody has put back.
    pub(super) fn observe_window(
        &mut self,
        now: Instant,
        wall: SystemTime,
        revision: u64,
        window: Option<v1::Window>,
    ) {
        if !self.revision.note(revision) {
            return;
        }
        let number = window.as_ref().map(|window| window.number);
        self.is_displaced = self.number().is_some() && number < self.number();
        if self.is_displaced || (number.is_some() && number == self.number()) {
            return;
        }
        self.current = window.map(|window| {
            let start = time(window.start).unwrap_or(wall);
            CurrentWindow {
                number: window.number,
                start,
                previous_start: time(window.previous_start).unwrap_or(start),
                seen: now,
                age: wall.duration_since(start).unwrap_or_default(),
            }
        });
        let current = self.number().unwrap_or_default();
        let is_recent = |number: u64| number.saturating_add(BLOCKS_KEPT + 1) >= current;
        self.blocks.retain(|&number, _| is_recent(number));
        self.unreadable.retain(|&number, _| is_recent(number));
        self.merged.retain(|_, block| is_recent(*block));
    }

    /// Notes a piece of a part. Returns false if it is not one.
    pub(super) fn observe_piece(&mut self, key: &str, piece: v1::PartChunk) -> bool {
        let Some((id, index)) = parts::parse(key) else {
            return false;
        };
        let mut blocks = self.blocks.iter();
        let has_it = blocks.find(|(_, block)| block.parts.contains(&id));
        if let Some((&number, _)) = has_it {
            self.merged.insert(id, number);
            return true;
        }
        self.parts.observe(id, index, piece)
    }

    /// Notes a block. Returns false if the key has no number.
    pub(super) fn observe_block(&mut self, key: &str, block: v1::Block) -> bool {
        let Some(number) = block_number(key).filter(|&number| number <= NUMBER_MAX) else {
            return false;
        };
        for &id in &block.parts {
            if self.parts.forget(id) {
                self.merged.insert(id, number);
            }
        }
        self.unreadable.remove(&number);
        self.blocks.insert(number, block);
        true
    }

    /// Notes that a block cannot be read, or that somebody has removed it. Of too many, those that
    /// are due first are kept.
    pub(super) fn observe_unreadable_block(&mut self, key: &str, revision: u64) {
        let number = block_number(key).filter(|&number| number <= NUMBER_MAX);
        let Some(number) = number.filter(|number| !self.blocks.contains_key(number)) else {
            return;
        };
        self.unreadable.insert(number, revision);
        if self.unreadable.len() > UNREADABLE_MAX {
            self.unreadable.pop_last();
        }
    }

    /// The revision over which a block is written.
    pub(super) fn block_revision(&self, number: u64) -> u64 {
        self.unreadable.get(&number).copied().unwrap_or_default()
    }

    /// The number after those of all blocks.
    fn next_number(&self) -> u64 {
        let readable = self.blocks.keys().next_back();
        let believed = self.unreadable.range(..=UNREADABLE_NUMBER_MAX);
        let last = readable.max(believed.map(|(number, _)| number).next_back());
        last.map_or(1, |last| last.saturating_add(1))
    }

    /// Forgets the parts, which a new watch will tell again.
    pub(super) fn forget_parts(&mut self) {
        self.parts.clear();
    }

    /// Notes that the watch begins anew. The bucket may be another one.
    pub(super) fn begin_watch(&mut self) {
        self.unreadable.clear();
        self.revision.begin_watch();
    }

    /// Notes that all is told. What was not is not there any more, and is written again.
    pub(super) fn complete(&mut self) {
        if self.revision.complete() {
            self.is_displaced = self.current.is_some();
        }
    }

    /// Notes that a key has sealed the current window that is about to go out of use.
    pub(super) fn observe_old_key(&mut self) {
        self.is_displaced = self.current.is_some();
    }

    /// The number of the current window.
    pub(super) fn number(&self) -> Option<u64> {
        self.current.map(|current| current.number)
    }

    /// The blocks after this number, oldest first.
    pub(super) fn blocks_after(&self, number: u64) -> impl Iterator<Item = (u64, &v1::Block)> {
        let blocks = self.blocks.range(number.saturating_add(1)..);
        blocks.map(|(&number, block)| (number, block))
    }

    /// The content of a part.
    pub(super) fn content(&self, id: u64) -> Option<Vec<u8>> {
        self.parts.content(id)
    }

    pub(super) fn has_erased_part(&mut self, id: u64) {
        self.merged.remove(&id);
        self.parts.forget(id);
    }

    pub(super) fn has_erased_block(&mut self, number: u64) {
        self.blocks.remove(&number);
    }

    /// The next thing to do for the holder, if `live` nodes are heard of, itself among them.
    pub(super) fn duty(
        &self,
        now: Instant,
        wall: SystemTime,
        length: Duration,
        live: &BTreeSet<String>,
    ) -> Option<Duty> {
        let Some(current) = self.current else {
            return Some(Duty::Begin {
                expected: self.revision.number(),
                window: v1::Window {
                    number: self.next_number(),
                    start: Some(wall.into()),
                    previous_start: None,
                },
            });
        };
        if self.is_displaced {
            return Some(Duty::Begin {
                expected: self.revision.number(),
                window: current.window(),
            });
        }
        let ended = current.number.saturating_sub(1);
        if ended > 0 && !self.blocks.contains_key(&ended) {
            return self.merge(now, ended, &current, live).map(Duty::Merge);
        }
        self.removal(current.number)
            .or_else(|| self.begin(now, length, &current))
    }

    fn merge(
        &self,
        now: Instant,
        number: u64,
        current: &CurrentWindow,
        live: &BTreeSet<String>,
    ) -> Option<Merge> {
        let is_awaited = now.saturating_duration_since(current.seen) < PATIENCE;
        let are_missing = live.iter().any(|node| !self.parts.has(node, number));
        if is_awaited && are_missing {
            return None;
        }
        Some(Merge {
            number,
            start: current.previous_start,
            end: current.start,
            parts: self.parts.complete_until(number),
        })
    }

    fn removal(&self, current: u64) -> Option<Duty> {
        let merged = self.merged.keys().next().copied();
        if let Some(id) = merged.or_else(|| self.parts.abandoned(current)) {
            return Some(Duty::ErasePart(id));
        }
        let (&number, _) = self.blocks.iter().next()?;
        let is_old = number.saturating_add(BLOCKS_KEPT) < current;
        is_old.then_some(Duty::EraseBlock(number))
    }

    fn begin(&self, now: Instant, length: Duration, current: &CurrentWindow) -> Option<Duty> {
        let passed = current.age + now.saturating_duration_since(current.seen);
        let start = current.start.checked_add(passed)?;
        (passed >= length).then(|| Duty::Begin {
            expected: self.revision.number(),
            window: v1::Window {
                number: current.number.saturating_add(1),
                start: Some(start.into()),
                previous_start: Some(current.start.into()),
            },
        })
    }
}

fn time(sent: Option<prost_types::Timestamp>) -> Option<SystemTime> {
    SystemTime::try_from(sent?).ok()
}

fn block_number(key: &str) -> Option<u64> {
    key.strip_prefix("block.")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::saved_state::SavedPart;

    const DAY: Duration = Duration::from_hours(24);

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn window(number: u64, start: SystemTime) -> v1::Window {
        v1::Window {
            number,
            start: Some(start.into()),
            previous_start: Some((start - DAY).into()),
        }
    }

    /// A view in which this window has just begun.
    fn view(now: Instant, number: u64) -> WindowsView {
        let mut view = WindowsView::default();
        view.observe_window(now, wall(), number, Some(window(number, wall())));
        view
    }

    fn give(view: &mut WindowsView, node: &str, id: u64, window: u64) {
        let part = SavedPart {
            id,
            window,
            is_last: true,
            state: "counts".to_owned(),
        };
        for (key, piece) in parts::pieces(node, &part) {
            assert!(view.observe_piece(&key, piece));
        }
    }

    fn add_block(view: &mut WindowsView, number: u64, parts: &[u64]) {
        let block = v1::Block {
            parts: parts.to_vec(),
            ..v1::Block::default()
        };
        assert!(view.observe_block(&format!("block.{number}"), block));
    }

    fn duty(view: &WindowsView, now: Instant, live: &[&str]) -> Option<Duty> {
        view.duty(now, wall(), DAY, &names(live))
    }

    fn merged(view: &WindowsView, now: Instant, live: &[&str]) -> Vec<u64> {
        match duty(view, now, live) {
            Some(Duty::Merge(merge)) => merge.parts.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_window_begins_at_once_and_the_next_when_it_is_over() {
        let now = start();
        let nothing = WindowsView::default();
        let Some(Duty::Begin { expected, window }) = duty(&nothing, now, &["a"]) else {
            panic!("no window begins");
        };
        assert_eq!((expected, window.number), (0, 1));
        let view = view(now, 1);
        assert_eq!(
            duty(
                &view,
                now + DAY.saturating_sub(Duration::from_secs(1)),
                &["a"]
            ),
            None
        );
        let Some(Duty::Begin { expected, window }) = duty(&view, now + DAY, &["a"]) else {
            panic!("no window begins");
        };
        assert_eq!((expected, window.number), (1, 2));
        assert_eq!(time(window.previous_start), Some(wall()));
        assert_eq!(time(window.start), Some(wall() + DAY));
    }

    /// A clock that is set while a window lasts does not end it.
    #[test]
    fn a_window_lasts_by_the_monotonic_clock() {
        let now = start();
        let view = view(now, 1);
        let later = now + Duration::from_hours(1);
        assert_eq!(
            view.duty(later, wall() + 9 * DAY, DAY, &names(&["a"])),
            None
        );
        // Whoever comes to know it counts from its beginning.
        let mut newcomer = WindowsView::default();
        newcomer.observe_window(now, wall() + DAY, 5, Some(window(1, wall())));
        assert!(duty(&newcomer, now, &["a"]).is_some());
    }

    #[test]
    fn a_block_waits_for_the_parts_of_all_live_nodes_and_not_for_ever() {
        let now = start();
        let mut view = view(now, 2);
        give(&mut view, "a", 1, 1);
        assert_eq!(duty(&view, now, &["a", "b"]), None);
        // It has gone, or does not answer.
        assert_eq!(merged(&view, now, &["a"]), [1]);
        assert_eq!(merged(&view, now + PATIENCE, &["a", "b"]), [1]);
        give(&mut view, "b", 2, 1);
        // Of the window that has just begun: a node that stops.
        give(&mut view, "c", 3, 2);
        assert_eq!(merged(&view, now, &["a", "b"]), [1, 2]);
    }

    #[test]
    fn a_late_part_is_in_the_next_block_and_none_is_in_two() {
        let now = start();
        let mut view = view(now, 2);
        give(&mut view, "a", 1, 1);
        give(&mut view, "b", 2, 1);
        add_block(&mut view, 1, &[1]);
        assert_eq!(duty(&view, now, &["a"]), Some(Duty::ErasePart(1)));
        view.observe_window(now, wall(), 3, Some(window(3, wall())));
        give(&mut view, "a", 4, 2);
        // Told again by a watch that began anew, and written again by a node that did not
        // hear of its success.
        view.begin_watch();
        for (node, id, window) in [("a", 1, 1), ("b", 2, 1), ("a", 4, 2)] {
            give(&mut view, node, id, window);
        }
        assert_eq!(merged(&view, now, &["a"]), [2, 4]);
    }

    #[test]
    fn whoever_becomes_the_holder_removes_what_is_in_a_block() {
        let now = start();
        let mut view = view(now, 2);
        give(&mut view, "a", 1, 1);
        add_block(&mut view, 1, &[1]);
        assert_eq!(duty(&view, now, &["a"]), Some(Duty::ErasePart(1)));
        view.has_erased_part(1);
        assert_eq!(duty(&view, now, &["a"]), None);
    }

    #[test]
    fn old_blocks_are_removed() {
        let now = start();
        let mut view = view(now, 30);
        for number in 13..30 {
            add_block(&mut view, number, &[]);
        }
        assert_eq!(duty(&view, now, &["a"]), Some(Duty::EraseBlock(13)));
        view.has_erased_block(13);
        assert_eq!(duty(&view, now, &["a"]), None);
        assert_eq!(view.blocks_after(20).count(), 9);
    }

    #[test]
    fn a_deleted_window_begins_after_the_last_block() {
        let now = start();
        let mut view = view(now, 3);
        add_block(&mut view, 2, &[]);
        view.observe_window(now, wall(), 9, None);
        let Some(Duty::Begin { expected, window }) = duty(&view, now, &["a"]) else {
            panic!("no window begins");
        };
        assert_eq!((expected, window.number), (9, 3));
    }
}

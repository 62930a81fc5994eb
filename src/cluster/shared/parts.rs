//! The parts of windows that have ended: counts of a node, in pieces that fit into messages.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::saved_state::SavedPart;
use crate::proto::cluster::v1;

/// The maximum length of a piece. Messages of NATS have at most 1 MiB.
const PIECE_MAX: usize = 256 * 1024;
/// The maximum number of pieces of a part.
const PIECES_MAX: u32 = 256;
/// The maximum number of parts that are not in a block yet.
const PARTS_MAX: usize = 1_000;
/// The age of an incomplete part, in windows, at which its node is not waited for any more.
const WINDOWS_KEPT: u64 = 16;

/// The parts that are in the bucket.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<u64, Part>);

#[derive(Debug)]
struct Part {
    node: String,
    window: u64,
    is_last: bool,
    count: u32,
    pieces: BTreeMap<u32, Vec<u8>>,
}

impl Parts {
    /// Notes a piece. Returns false if it is not one, or there are too many parts.
    pub(super) fn observe(&mut self, id: u64, index: u32, chunk: v1::PartChunk) -> bool {
        let is_known = self.0.contains_key(&id);
        let has_place = is_known || self.0.len() < PARTS_MAX;
        let is_piece =
            chunk.count <= PIECES_MAX && index < chunk.count && chunk.content.len() <= PIECE_MAX;
        if !has_place || !is_piece {
            return false;
        }
        let part = self.0.entry(id).or_insert_with(|| Part {
            node: chunk.node,
            window: chunk.window,
            is_last: chunk.is_last,
            count: chunk.count,
            pieces: BTreeMap::new(),
        });
        part.pieces.insert(index, chunk.content);
        true
    }

    /// The numbers of all parts of this window and those before it of which nothing is
    /// missing.
    pub(super) fn complete_until(&self, window: u64) -> BTreeSet<u64> {
        let parts = self.0.iter();
        let complete = parts.filter(|(_, part)| part.is_complete() && part.window <= window);
        complete.map(|(&id, _)| id).collect()
    }

    /// Returns true if this node has counted until the end of this window, and all of that
    /// is here.
    pub(super) fn has(&self, node: &str, window: u64) -> bool {
        self.0.values().any(|part| {
            part.is_complete() && part.is_last && part.node == node && part.window == window
        })
    }

    /// The content of a complete part.
    pub(super) fn content(&self, id: u64) -> Option<Vec<u8>> {
        let part = self.0.get(&id).filter(|part| part.is_complete())?;
        Some(part.pieces.values().flatten().copied().collect())
    }

    /// A part that is incomplete and too old to become complete.
    pub(super) fn abandoned(&self, window: u64) -> Option<u64> {
        let mut parts = self.0.iter();
        let abandoned = parts.find(|(_, part)| {
            !part.is_complete() && part.window.saturating_add(WINDOWS_KEPT) < window
        });
        abandoned.map(|(&id, _)| id)
    }

    /// Forgets a part. Returns true if there was one.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        self.0.remove(&id).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Part {
    fn is_complete(&self) -> bool {
        u32::try_from(self.pieces.len()) == Ok(self.count)
    }
}

/// The pieces of a node's part, by key.
pub(super) fn pieces(node: &str, part: &SavedPart) -> Vec<(String, v1::PartChunk)> {
    let pieces: Vec<_> = part.state.as_bytes().chunks(PIECE_MAX).collect();
    let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    let piece = |(index, content): (usize, &[u8])| {
        let chunk = v1::PartChunk {
            node: node.to_owned(),
            window: part.window,
            is_last: part.is_last,
            count,
            content: content.to_vec(),
        };
        (format!("{}.{index}", beginning(part.id)), chunk)
    };
    pieces.into_iter().enumerate().map(piece).collect()
}

/// All keys of a part, as a pattern of NATS.
pub(super) fn all_keys(id: u64) -> String {
    format!("{}.*", beginning(id))
}

fn beginning(id: u64) -> String {
    format!("part.{id:016x}")
}

/// The number of a part and that of a piece, from its key.
pub(super) fn parse(key: &str) -> Option<(u64, u32)> {
    let (id, index) = key.strip_prefix("part.")?.split_once('.')?;
    Some((u64::from_str_radix(id, 16).ok()?, index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a last part of window 4 of node `a`.
    fn pieces_of(id: u64, content: &str) -> Vec<(String, v1::PartChunk)> {
        let part = SavedPart {
            id,
            window: 4,
            is_last: true,
            state: content.to_owned(),
        };
        pieces("a", &part)
    }

    fn observe(parts: &mut Parts, (key, chunk): (String, v1::PartChunk)) -> bool {
        let (id, index) = parse(&key).unwrap();
        assert_eq!(
            all_keys(id),
            key.rsplit_once('.').unwrap().0.to_owned() + ".*"
        );
        parts.observe(id, index, chunk)
    }

    #[test]
    fn a_part_is_complete_with_its_last_piece_whatever_their_order() {
        let content: String = ('a'..='z').cycle().take(PIECE_MAX * 2 + 5).collect();
        let mut pieces = pieces_of(9, &content);
        assert_eq!(pieces.len(), 3);
        pieces.rotate_left(1);
        let mut parts = Parts::default();
        for piece in pieces {
            assert_eq!(parts.complete_until(4), BTreeSet::new());
            assert!(observe(&mut parts, piece));
        }
        assert_eq!(parts.complete_until(3), BTreeSet::new());
        assert_eq!(parts.complete_until(4), BTreeSet::from([9]));
        assert_eq!(parts.content(9), Some(content.into_bytes()));
        assert!(parts.has("a", 4) && !parts.has("a", 5) && !parts.has("b", 4));
    }

    #[test]
    fn a_part_that_is_not_the_last_of_its_window_is_not_waited_for() {
        let (key, chunk) = pieces_of(9, "content").remove(0);
        let mut parts = Parts::default();
        let is_last = false;
        assert!(observe(
            &mut parts,
            (key, v1::PartChunk { is_last, ..chunk })
        ));
        assert!(!parts.has("a", 4));
        assert_eq!(parts.complete_until(4), BTreeSet::from([9]));
    }

    #[test]
    fn what_is_no_piece_is_refused() {
        let (_, chunk) = pieces_of(9, "content").remove(0);
        let mut parts = Parts::default();
        for key in ["part.9", "part.x.0", "part.9.x", "block.9.0"] {
            assert_eq!(parse(key), None, "{key}");
        }
        assert!(!parts.observe(9, 1, chunk.clone()));
        let count = PIECES_MAX + 1;
        let many = v1::PartChunk {
            count,
            ..chunk.clone()
        };
        assert!(!parts.observe(9, 0, many));
        let content = vec![b'x'; PIECE_MAX + 1];
        assert!(!parts.observe(9, 0, v1::PartChunk { content, ..chunk }));
    }

    #[test]
    fn the_number_of_parts_is_bounded() {
        let mut parts = Parts::default();
        for id in 0..=PARTS_MAX as u64 {
            let piece = pieces_of(id, "content").remove(0);
            assert_eq!(observe(&mut parts, piece), id < PARTS_MAX as u64);
        }
    }

    #[test]
    fn what_never_becomes_complete_is_abandoned() {
        let content: String = ('a'..='z').cycle().take(PIECE_MAX + 1).collect();
        let mut parts = Parts::default();
        assert!(observe(&mut parts, pieces_of(9, &content).remove(1)));
        assert_eq!(parts.abandoned(4 + WINDOWS_KEPT), None);
        assert_eq!(parts.abandoned(5 + WINDOWS_KEPT), Some(9));
        assert!(parts.forget(9) && !parts.forget(9));
        assert_eq!(parts.abandoned(100), None);
    }
}

//! One node's knowledge of the bucket, and the next thing that it has to write. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::broker::clock::Reading;
use crate::cluster::keys::ClusterKeys;
use crate::metrics::saved_state::SavedPart;
use crate::proto::cluster::v1;

use super::changes::ChangesView;
use super::lease::{LeaseView, TERM};
use super::parts;
use super::windows::{Duty, NUMBER_MAX, WindowsView};

/// The keys of the values of which there is one.
pub(super) const LEASE: &str = "lease";
pub(super) const WINDOW: &str = "window";

/// The key of a block.
pub(super) fn block(number: u64) -> String {
    format!("block.{number}")
}

/// The bucket, as one node sees it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) lease: LeaseView,
    pub(super) windows: WindowsView,
    pub(super) changes: ChangesView,
    outbox: VecDeque<OutgoingPart>,
    /// The parts that are in the bucket, for whoever has given them.
    contributed: BTreeSet<u64>,
    /// True if all that was in the bucket when the watch began has been told.
    pub(super) is_complete: bool,
    node: String,
}

/// A part of ours that is not in the bucket yet.
#[derive(Debug)]
struct OutgoingPart {
    id: u64,
    pieces: VecDeque<(String, v1::PartChunk)>,
}

/// Something to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// The lease, over this revision.
    Lease { expected: u64 },
    /// A piece of a part of ours.
    Piece { key: String, piece: v1::PartChunk },
    /// A change of a setting, over this revision.
    Change {
        key: String,
        expected: u64,
        setting: v1::SharedSetting,
    },
    /// A duty of the holder of the lease.
    Duty(Duty),
}

/// The error for a value that is not of this cluster, or not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadValue {
    NotSealed,
    Malformed,
}

impl Replica {
    pub(super) fn new(node: &str, incarnation: u64) -> Self {
        Self {
            lease: LeaseView::new(node, incarnation),
            windows: WindowsView::default(),
            changes: ChangesView::default(),
            outbox: VecDeque::new(),
            contributed: BTreeSet::new(),
            is_complete: false,
            node: node.to_owned(),
        }
    }

    /// Notes that the watch begins anew.
    pub(super) fn begin_watch(&mut self) {
        self.is_complete = false;
        self.windows.forget_parts();
        self.expect_all();
    }

    fn expect_all(&mut self) {
        self.windows.begin_watch();
        self.changes.begin_watch();
        self.lease.begin_watch();
    }

    /// Notes that all that was in the bucket when the watch began has been told.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
        self.windows.complete();
        self.changes.complete();
        self.lease.complete();
    }

    /// Notes that a value has vanished without a word: whoever may write to the bucket can empty
    /// it. If others are still there, that shows when they are written.
    pub(super) fn has_vanished(&mut self) {
        self.expect_all();
        self.complete();
    }

    /// Notes the sealed value of a key; an empty one was deleted. What is none is written over.
    pub(super) fn observe(
        &mut self,
        now: Reading,
        keys: &ClusterKeys,
        key: &str,
        revision: u64,
        sealed: &[u8],
    ) -> Result<(), BadValue> {
        let noted = open(keys, key, sealed).and_then(|value| self.note(now, key, revision, value));
        if noted.is_err() {
            self.observe_unreadable(now, key, revision);
        } else if keys.is_sealed_otherwise(&sealed_for(key), sealed) {
            self.observe_old_key(key);
        }
        noted
    }

    /// Notes that a value has to be sealed again, or it is lost when its key goes out of use.
    fn observe_old_key(&mut self, key: &str) {
        if key == WINDOW {
            self.windows.observe_old_key();
        } else {
            self.changes.observe_old_key(key);
        }
    }

    fn note(
        &mut self,
        now: Reading,
        key: &str,
        revision: u64,
        value: Option<Vec<u8>>,
    ) -> Result<(), BadValue> {
        match key.split('.').next().unwrap_or_default() {
            LEASE => {
                let lease = value.as_deref().map(decode).transpose()?;
                self.lease.observe(now.monotonic, revision, lease);
            }
            WINDOW => {
                let window: Option<v1::Window> = value.as_deref().map(decode).transpose()?;
                if window
                    .as_ref()
                    .is_some_and(|window| window.number > NUMBER_MAX)
                {
                    return Err(BadValue::Malformed);
                }
                let windows = &mut self.windows;
                windows.observe_window(now.monotonic, now.wall, revision, window);
            }
            "part" => {
                let piece = value.as_deref().map(decode).transpose()?;
                let is_piece = piece.is_none_or(|piece| self.windows.observe_piece(key, piece));
                return is_piece.then_some(()).ok_or(BadValue::Malformed);
            }
            "block" => {
                let Some(value) = value else {
                    self.windows.observe_unreadable_block(key, revision);
                    return Ok(());
                };
                let is_block = self.windows.observe_block(key, decode(&value)?);
                return is_block.then_some(()).ok_or(BadValue::Malformed);
            }
            "setting" => {
                // An end is sealed, too: without a value, whoever can write to the bucket has
                // removed it.
                let Some(value) = value else {
                    self.changes.observe_removed(key, revision);
                    return Ok(());
                };
                let setting = decode(&value)?;
                let is_setting = self.changes.observe(key, revision, setting);
                return is_setting.then_some(()).ok_or(BadValue::Malformed);
            }
            // Of a later version.
            _ => {}
        }
        Ok(())
    }

    /// Notes that a value cannot be read, because its key was taken out of use or somebody else
    /// has written it. What there is only one of is then written anew, and so are a block that is
    /// due, and settings.
    fn observe_unreadable(&mut self, now: Reading, key: &str, revision: u64) {
        let Reading { wall, monotonic } = now;
        match key {
            LEASE => self.lease.observe(monotonic, revision, None),
            WINDOW => self.windows.observe_window(monotonic, wall, revision, None),
            _ => {
                self.changes.observe_unreadable(key, revision);
                self.windows.observe_unreadable_block(key, revision);
            }
        }
    }

    /// Takes a part of ours, to be written. One that is known already is ignored.
    pub(super) fn contribute(&mut self, part: &SavedPart) {
        let mut outgoing = self.outbox.iter();
        if self.contributed.contains(&part.id) || outgoing.any(|known| known.id == part.id) {
            return;
        }
        self.outbox.push_back(OutgoingPart {
            id: part.id,
            pieces: parts::pieces(&self.node, part).into(),
        });
    }

    /// Notes that the next piece is in the bucket, whoever of our processes wrote it.
    pub(super) fn has_written_piece(&mut self) {
        let Some(part) = self.outbox.front_mut() else {
            return;
        };
        part.pieces.pop_front();
        if part.pieces.is_empty() {
            self.contributed.insert(part.id);
            self.outbox.pop_front();
        }
    }

    /// The parts that have come into the bucket since the last call.
    pub(super) fn take_contributed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.contributed)
    }

    /// Returns true if a part of ours is not in the bucket yet.
    pub(super) fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The next thing to write, if `live` nodes are heard of, this one among them.
    pub(super) fn task(
        &self,
        now: Reading,
        length: Duration,
        live: &BTreeSet<String>,
    ) -> Option<Task> {
        if !self.is_complete {
            return None;
        }
        // First, so that nothing that cannot be written costs the lease.
        if let Some(expected) = self.lease.due(now.monotonic) {
            return Some(Task::Lease { expected });
        }
        let outgoing = self.outbox.front().and_then(|part| part.pieces.front());
        if let Some((key, piece)) = outgoing.cloned() {
            return Some(Task::Piece { key, piece });
        }
        if let Some((key, expected, setting)) = self.changes.next(&self.node, now.monotonic) {
            return Some(Task::Change {
                key,
                expected,
                setting,
            });
        }
        if !self.lease.is_held(now.monotonic) {
            return None;
        }
        let windows = &self.windows;
        let duty = windows.duty(now.monotonic, now.wall, length, live);
        duty.map(Task::Duty)
    }
}

/// A lease from now on, on the clock of its holder.
pub(super) fn lease(node: &str, incarnation: u64, now_ms: u64) -> v1::Lease {
    let term = u64::try_from(TERM.as_millis()).unwrap_or(u64::MAX);
    v1::Lease {
        node: node.to_owned(),
        incarnation,
        deadline_ms: now_ms.saturating_add(term),
    }
}

/// The text that is authenticated with a value, so that none can be put under another key.
pub(super) fn sealed_for(key: &str) -> String {
    format!("bucket/{key}")
}

fn open(keys: &ClusterKeys, key: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, BadValue> {
    if sealed.is_empty() {
        return Ok(None);
    }
    let value = keys.open(&sealed_for(key), sealed);
    value.map(Some).map_err(|_| BadValue::NotSealed)
}

fn decode<M: prost::Message + Default>(value: &[u8]) -> Result<M, BadValue> {
    M::decode(value).map_err(|_| BadValue::Malformed)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::broker::clock;

    fn keys() -> ClusterKeys {
        ClusterKeys::parse("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap()
    }

    fn sealed(key: &str, value: &impl prost::Message) -> Vec<u8> {
        keys()
            .seal(&sealed_for(key), &value.encode_to_vec())
            .unwrap()
    }

    #[test]
    fn a_setting_that_a_stranger_removes_is_written_again() {
        for key in ["setting.limits", "setting.pool.family"] {
            let mut replica = Replica::new("a", 1);
            let setting = v1::SharedSetting {
                node: "b".to_owned(),
                request: vec![7],
                version: 3,
            };
            let value = sealed(key, &setting);
            let mut observe = |revision, value: &[u8]| {
                replica.observe(clock::read(), &keys(), key, revision, value)
            };
            assert_eq!(observe(1, &value), Ok(()));
            assert_eq!(observe(2, &[]), Ok(()));
            let changes: Vec<_> = replica.changes.take_fresh();
            let requests: Vec<_> = changes
                .iter()
                .map(|change| change.request.clone())
                .collect();
            assert_eq!(requests, [Some(vec![7])], "{key}");
            let again = replica.changes.next("a", clock::now());
            assert_eq!(again, Some((key.to_owned(), 2, setting)));
        }
    }

    /// It would be lost when the last node has only the new key.
    #[test]
    fn a_setting_that_an_old_key_has_sealed_is_sealed_again() {
        let (old, new) = (
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",
        );
        let both = ClusterKeys::parse(&format!("{new}\n{old}")).unwrap();
        let setting = v1::SharedSetting {
            node: "b".to_owned(),
            request: vec![7],
            version: 3,
        };
        let key = "setting.limits";
        let mut replica = Replica::new("a", 1);
        let mut observe = |revision, value: &[u8]| {
            let observed = replica.observe(clock::read(), &both, key, revision, value);
            assert_eq!(observed, Ok(()));
            replica.changes.next("a", clock::now())
        };
        let by_old = sealed(key, &setting);
        assert_eq!(
            observe(1, &by_old),
            Some((key.to_owned(), 1, setting.clone()))
        );
        let by_new = both.seal(&sealed_for(key), &setting.encode_to_vec());
        assert_eq!(observe(2, &by_new.unwrap()), None);
    }

    #[test]
    fn a_node_that_starts_takes_no_removal_for_an_end() {
        let mut replica = Replica::new("a", 1);
        let observed = replica.observe(clock::read(), &keys(), "setting.pool.family", 5, &[]);
        assert_eq!(observed, Ok(()));
        assert!(replica.changes.take_fresh().is_empty());
        assert_eq!(replica.changes.next("a", clock::now()), None);
    }

    #[test]
    fn a_window_beyond_all_numbers_is_none() {
        let mut replica = Replica::new("a", 1);
        let window = v1::Window {
            number: u64::MAX,
            ..v1::Window::default()
        };
        let value = sealed(WINDOW, &window);
        let now = clock::read();
        let observed = replica.observe(now, &keys(), WINDOW, 1, &value);
        assert_eq!(observed, Err(BadValue::Malformed));
        let (wall, length) = (now.wall, Duration::from_hours(24));
        let duty = replica
            .windows
            .duty(now.monotonic, wall, length, &BTreeSet::new());
        let Some(Duty::Begin { expected, window }) = duty else {
            panic!("no window begins: {duty:?}");
        };
        assert_eq!((expected, window.number), (1, 1));
    }
}

//! The settings that the administration has changed, which hold for all nodes. Pure.
//!
//! Each is a request of the administration with all values of its kind, so that whoever
//! applies the last one has what all have. One without a request has ended: the nodes return
//! to their configurations.
//!
//! Private pools are among them, each under its name. No reload ends these, and a node that
//! starts may know of some from before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::proto::cluster::v1;

use super::revision::LastRevision;

/// The maximum number of names: of six kinds of settings, and of all private pools that there
/// ever were.
const NAMES_MAX: usize = 4_096;
/// The shortest time between two writes of a setting over what cannot be read: nodes with
/// different keys would otherwise write over each other all the time.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The time for which a change that was not written is not tried again, so that it does not hold
/// up everything else.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The beginning of the names of private pools.
pub const PRIVATE_POOL: &str = "pool.";

/// A setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedChange {
    /// The kind of setting.
    pub name: String,
    /// The name of the node at which it was changed.
    pub node: String,
    /// The request; `None` if the change has ended.
    pub request: Option<Vec<u8>>,
}

/// The changes, as one node sees them.
#[derive(Debug, Default)]
pub(super) struct ChangesView {
    seen: BTreeMap<String, Seen>,
    /// Those that are not in force here yet.
    fresh: BTreeSet<String>,
    /// Ours, to be written.
    outbox: BTreeMap<String, Vec<u8>>,
    /// Those over which somebody has put an old one or what is none, each with the time from which
    /// it may be written again; `None` is at once.
    displaced: BTreeMap<String, Option<Instant>>,
    /// Requests in force here since before, to be written unless all know otherwise.
    proposed: BTreeMap<String, Vec<u8>>,
    /// The names of those that were not written, and the time before which that is not tried
    /// again.
    resting: BTreeMap<String, Instant>,
}

/// The last value of a setting.
#[derive(Debug, Default)]
struct Seen {
    revision: LastRevision,
    setting: v1::SharedSetting,
    /// The last time at which this node has written it over what was none.
    written_again: Option<Instant>,
}

impl ChangesView {
    /// Notes a change, ours or another's. Returns false if it is none, there are too many, or it
    /// is an old one that somebody has put back: then the one in force is written over it.
    pub(super) fn observe(&mut self, key: &str, revision: u64, setting: v1::SharedSetting) -> bool {
        let Some(name) = key.strip_prefix("setting.") else {
            return false;
        };
        if !self.seen.contains_key(name) && self.seen.len() >= NAMES_MAX {
            return false;
        }
        if let Some(last) = self.seen.get_mut(name) {
            if !last.revision.note(revision) {
                return true;
            }
            if setting.version < last.setting.version {
                self.displaced.insert(name.to_owned(), None);
                return false;
            }
            if setting == last.setting {
                self.displaced.remove(name);
                return true;
            }
        }
        let last = self.seen.get(name);
        // A node that starts has nothing to return from, unless it has kept a private pool; and
        // a change of ours replaces it soon.
        let is_to_apply =
            last.is_some() || !setting.request.is_empty() || name.starts_with(PRIVATE_POOL);
        // An end of ours holds here before all know of it; but an end of others' is one here,
        // too.
        let has_ended = |ours: &Vec<u8>| ours.is_empty() && setting.request.is_empty();
        if is_to_apply && self.outbox.get(name).is_none_or(has_ended) {
            self.fresh.insert(name.to_owned());
        }
        self.displaced.remove(name);
        let seen = self.seen.entry(name.to_owned()).or_default();
        seen.revision.note(revision);
        seen.setting = setting;
        true
    }

    /// Notes that a setting cannot be read. What is in force stays so, and is written over it, or
    /// the next change is.
    pub(super) fn observe_unreadable(&mut self, key: &str, revision: u64) {
        self.observe_none(key, revision, Seen::due_again);
    }

    /// Notes that a key has sealed a setting that is about to go out of use. It is sealed again.
    pub(super) fn observe_old_key(&mut self, key: &str) {
        let name = key.strip_prefix("setting.").unwrap_or_default();
        if let Some(seen) = self.seen.get(name)
            && !self.displaced.contains_key(name)
        {
            self.displaced.insert(name.to_owned(), seen.due_again());
        }
    }

    /// Notes that somebody has removed a setting, as no node does: an end is a setting, too. If
    /// it is known, it is written again.
    pub(super) fn observe_removed(&mut self, key: &str, revision: u64) {
        self.observe_none(key, revision, |_| None);
    }

    /// Notes what is no setting. Strangers may make up names, so nothing is kept of one that
    /// nobody here needs.
    fn observe_none(
        &mut self,
        key: &str,
        revision: u64,
        due: impl FnOnce(&Seen) -> Option<Instant>,
    ) {
        let Some(name) = key.strip_prefix("setting.") else {
            return;
        };
        if self.outbox.contains_key(name) {
            self.seen.entry(name.to_owned()).or_default();
        }
        if let Some(seen) = self.seen.get_mut(name)
            && seen.revision.note(revision)
            && seen.setting.version > 0
            && !self.displaced.contains_key(name)
        {
            self.displaced.insert(name.to_owned(), due(seen));
        }
    }

    /// Takes a change that was made here.
    pub(super) fn set(&mut self, name: &str, request: Vec<u8>) {
        self.outbox.insert(name.to_owned(), request);
    }

    /// Takes what is in force here since before this process.
    pub(super) fn propose(&mut self, name: &str, request: Vec<u8>) {
        self.proposed.insert(name.to_owned(), request);
    }

    /// Notes that the watch begins anew. The bucket may be another one.
    pub(super) fn begin_watch(&mut self) {
        for seen in self.seen.values_mut() {
            seen.revision.begin_watch();
        }
    }

    /// Notes that all names are known: what was proposed under others is to be written, and what
    /// is not there any more is written again.
    pub(super) fn complete(&mut self) {
        for (name, seen) in &mut self.seen {
            if seen.revision.complete() && seen.setting.version > 0 {
                self.displaced.insert(name.clone(), None);
            }
        }
        for (name, request) in std::mem::take(&mut self.proposed) {
            if !self.seen.contains_key(&name) {
                self.outbox.entry(name).or_insert(request);
            }
        }
    }

    /// Ends all changes but private pools.
    pub(super) fn end_all(&mut self) {
        let in_force = self.seen.iter();
        let in_force = in_force.filter(|(name, seen)| {
            !seen.setting.request.is_empty() && !name.starts_with(PRIVATE_POOL)
        });
        let names = in_force.map(|(name, _)| (name.clone(), Vec::new()));
        self.outbox.extend(names);
    }

    /// The next change that this node has to write: its key, the revision that it replaces, and
    /// the setting.
    pub(super) fn next(
        &self,
        node: &str,
        now: Instant,
    ) -> Option<(String, u64, v1::SharedSetting)> {
        let rests = |name: &String| self.resting.get(name).is_some_and(|until| now < *until);
        let Some((name, request)) = self.outbox.iter().find(|(name, _)| !rests(name)) else {
            let is_due = |due: &Option<Instant>| due.is_none_or(|due| due <= now);
            let mut displaced = self.displaced.iter();
            let (name, _) = displaced.find(|(name, due)| is_due(due) && !rests(name))?;
            let seen = self.seen.get(name)?;
            return Some((key(name), seen.revision.number(), seen.setting.clone()));
        };
        let last = self.seen.get(name);
        let (revision, version) = last.map_or((0, 0), |last| {
            (last.revision.number(), last.setting.version)
        });
        let setting = v1::SharedSetting {
            node: node.to_owned(),
            request: request.clone(),
            version: version.saturating_add(1),
        };
        Some((key(name), revision, setting))
    }

    /// Notes that a change of ours is written, unless it has been replaced meanwhile, or one in
    /// force over what was none.
    pub(super) fn has_written(&mut self, now: Instant, key: &str, request: &[u8]) {
        let name = key.strip_prefix("setting.").unwrap_or_default();
        self.resting.remove(name);
        if self.outbox.get(name).is_some_and(|next| next == request) {
            self.outbox.remove(name);
        }
        if let Some(seen) = self.seen.get_mut(name)
            && self.displaced.contains_key(name)
        {
            seen.written_again = Some(now);
        }
    }

    /// Notes that a change was not written.
    pub(super) fn has_failed(&mut self, now: Instant, key: &str) {
        let name = key.strip_prefix("setting.").unwrap_or_default();
        self.resting.insert(name.to_owned(), now + RETRY_AFTER);
    }

    /// The changes that are to be put in force here.
    pub(super) fn take_fresh(&mut self) -> Vec<SharedChange> {
        let fresh = std::mem::take(&mut self.fresh);
        let changes = fresh.into_iter().filter_map(|name| {
            let setting = &self.seen.get(&name)?.setting;
            Some(SharedChange {
                name,
                node: setting.node.clone(),
                request: Some(setting.request.clone()).filter(|request| !request.is_empty()),
            })
        });
        changes.collect()
    }
}

impl Seen {
    /// The time from which it may be written again over what somebody else keeps writing.
    fn due_again(&self) -> Option<Instant> {
        self.written_again.map(|last| last + WRITE_AGAIN_AFTER)
    }
}

fn key(name: &str) -> String {
    format!("setting.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(node: &str, request: &[u8]) -> v1::SharedSetting {
        version(0, node, request)
    }

    fn version(version: u64, node: &str, request: &[u8]) -> v1::SharedSetting {
        v1::SharedSetting {
            node: node.to_owned(),
            request: request.to_vec(),
            version,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    /// The next change that node `us` writes.
    fn next(changes: &ChangesView) -> Option<(u64, v1::SharedSetting)> {
        let (_, revision, setting) = changes.next("us", start())?;
        Some((revision, setting))
    }

    fn requests(changes: &mut ChangesView) -> Vec<Option<Vec<u8>>> {
        let fresh = changes.take_fresh().into_iter();
        fresh.map(|change| change.request).collect()
    }

    #[test]
    fn each_change_is_put_in_force_once_and_the_last_one_wins() {
        let mut changes = ChangesView::default();
        assert!(changes.observe("setting.a", 1, setting("x", b"one")));
        assert!(changes.observe("setting.a", 2, setting("y", b"two")));
        assert_eq!(requests(&mut changes), [Some(b"two".to_vec())]);
        // A watch that begins anew tells it again.
        assert!(changes.observe("setting.a", 2, setting("y", b"two")));
        assert_eq!(requests(&mut changes), []);
    }

    #[test]
    fn ours_is_written_over_what_cannot_be_read() {
        let mut changes = ChangesView::default();
        changes.set("a", b"ours".to_vec());
        changes.observe_unreadable("setting.a", 7);
        assert_eq!(next(&changes), Some((7, version(1, "us", b"ours"))));
        assert_eq!(requests(&mut changes), []);
    }

    /// Whoever has no key could otherwise have all forget it, and put an older one back.
    #[test]
    fn what_is_in_force_is_written_over_what_cannot_be_read() {
        let mut changes = ChangesView::default();
        let in_force = version(2, "x", b"in force");
        assert!(changes.observe("setting.a", 1, in_force.clone()));
        assert_eq!(requests(&mut changes), [Some(b"in force".to_vec())]);
        changes.observe_unreadable("setting.a", 2);
        assert_eq!(next(&changes), Some((2, in_force.clone())));
        // A watch that begins anew tells it again.
        changes.observe_unreadable("setting.a", 2);
        assert_eq!(next(&changes), Some((2, in_force.clone())));
        changes.observe_unreadable("setting.a", 3);
        assert_eq!(next(&changes), Some((3, in_force.clone())));
        // Another node was faster.
        assert!(changes.observe("setting.a", 4, in_force.clone()));
        assert_eq!(next(&changes), None);
        assert_eq!(requests(&mut changes), []);
    }

    #[test]
    fn nodes_that_cannot_read_each_other_write_now_and_then() {
        let mut changes = ChangesView::default();
        let in_force = version(2, "x", b"in force");
        let now = start();
        assert!(changes.observe("setting.a", 1, in_force.clone()));
        changes.observe_unreadable("setting.a", 2);
        assert!(changes.next("us", now).is_some());
        changes.has_written(now, "setting.a", b"in force");
        assert!(changes.observe("setting.a", 3, in_force.clone()));
        changes.observe_unreadable("setting.a", 4);
        assert_eq!(changes.next("us", now), None);
        changes.observe_unreadable("setting.a", 5);
        let later = now + WRITE_AGAIN_AFTER;
        let again = Some(("setting.a".to_owned(), 5, in_force));
        assert_eq!(changes.next("us", later), again);
    }

    #[test]
    fn a_change_that_cannot_be_written_holds_nothing_up_for_a_while() {
        let mut changes = ChangesView::default();
        changes.set("a", b"ours".to_vec());
        let now = start();
        changes.has_failed(now, "setting.a");
        assert_eq!(changes.next("us", now), None);
        assert!(changes.next("us", now + RETRY_AFTER).is_some());
        changes.set("b", b"another".to_vec());
        let (key, ..) = changes.next("us", now).unwrap();
        assert_eq!(key, "setting.b");
    }

    /// It was lost, or made anew from a backup.
    #[test]
    fn what_another_bucket_lacks_is_written_again() {
        let mut changes = ChangesView::default();
        let in_force = version(2, "x", b"in force");
        assert!(changes.observe("setting.a", 50, in_force.clone()));
        assert!(changes.observe("setting.b", 60, in_force.clone()));
        assert!(changes.observe("setting.c", 70, version(2, "x", b"newer")));
        requests(&mut changes);
        changes.begin_watch();
        assert!(changes.observe("setting.b", 1, in_force.clone()));
        assert!(!changes.observe("setting.c", 2, version(1, "x", b"old")));
        changes.complete();
        assert_eq!(requests(&mut changes), []);
        let next = changes.next("us", start()).unwrap();
        assert_eq!(next, ("setting.a".to_owned(), 0, in_force.clone()));
        assert!(changes.observe("setting.a", 3, in_force));
        let (key, revision, setting) = changes.next("us", start()).unwrap();
        assert_eq!((&*key, revision), ("setting.c", 2));
        assert!(changes.observe("setting.c", 4, setting));
        assert_eq!(changes.next("us", start()), None);
    }

    #[test]
    fn what_an_old_key_has_sealed_is_sealed_again() {
        let mut changes = ChangesView::default();
        let in_force = version(2, "x", b"in force");
        assert!(changes.observe("setting.a", 1, in_force.clone()));
        changes.observe_old_key("setting.a");
        assert_eq!(next(&changes), Some((1, in_force.clone())));
        assert!(changes.observe("setting.a", 2, in_force));
        assert_eq!(next(&changes), None);
    }

    #[test]
    fn names_that_strangers_make_up_cost_nothing() {
        let mut changes = ChangesView::default();
        for number in 0..2 * NAMES_MAX as u64 {
            changes.observe_unreadable(&key(&number.to_string()), 1 + number);
            changes.observe_removed(&key(&number.to_string()), 2 + number);
        }
        assert!(changes.seen.is_empty());
        assert!(changes.observe("setting.a", 1, setting("x", b"one")));
    }

    #[test]
    fn ours_is_written_over_what_others_have_written() {
        let mut changes = ChangesView::default();
        changes.set("a", b"ours".to_vec());
        assert_eq!(next(&changes), Some((0, version(1, "us", b"ours"))));
        assert!(changes.observe("setting.a", 5, version(3, "y", b"theirs")));
        assert_eq!(next(&changes), Some((5, version(4, "us", b"ours"))));
        changes.set("a", b"newer".to_vec());
        changes.has_written(start(), "setting.a", b"ours");
        assert!(next(&changes).is_some());
        changes.has_written(start(), "setting.a", b"newer");
        assert_eq!(next(&changes), None);
        // Theirs was not put in force meanwhile, as it is about to be replaced.
        assert_eq!(requests(&mut changes), []);
    }

    #[test]
    fn a_pool_that_is_removed_before_its_creation_is_written_does_not_come_back() {
        let mut changes = ChangesView::default();
        changes.set("pool.a", b"created".to_vec());
        let (_, created) = next(&changes).unwrap();
        changes.set("pool.a", Vec::new());
        assert!(changes.observe("setting.pool.a", 1, created));
        assert_eq!(requests(&mut changes), []);
        let (replaced, removed) = next(&changes).unwrap();
        assert_eq!((replaced, &removed), (1, &version(2, "us", b"")));
        assert!(changes.observe("setting.pool.a", 2, removed));
        assert_eq!(requests(&mut changes), [None]);
    }

    /// It would stay in force here: nobody reloads for an end of his own.
    #[test]
    fn a_setting_of_others_that_we_are_about_to_end_is_not_put_in_force() {
        let mut changes = ChangesView::default();
        assert!(changes.observe("setting.a", 1, version(1, "x", b"one")));
        requests(&mut changes);
        changes.end_all();
        assert!(changes.observe("setting.a", 2, version(2, "y", b"two")));
        assert_eq!(requests(&mut changes), []);
        assert_eq!(next(&changes), Some((2, version(3, "us", b""))));
    }

    #[test]
    fn all_changes_end_together() {
        let mut changes = ChangesView::default();
        assert!(changes.observe("setting.a", 1, setting("x", b"one")));
        assert!(changes.observe("setting.b", 2, setting("x", b"")));
        assert_eq!(requests(&mut changes), [Some(b"one".to_vec())]);
        changes.end_all();
        assert_eq!(next(&changes), Some((1, version(1, "us", b""))));
        assert!(changes.observe("setting.a", 3, version(1, "y", b"")));
        assert_eq!(requests(&mut changes), [None]);
    }

    #[test]
    fn an_old_one_that_is_put_back_is_replaced_by_the_one_in_force() {
        let mut changes = ChangesView::default();
        let in_force = version(2, "y", b"new");
        assert!(changes.observe("setting.a", 1, version(1, "x", b"old")));
        assert!(changes.observe("setting.a", 2, in_force.clone()));
        assert_eq!(requests(&mut changes), [Some(b"new".to_vec())]);
        assert!(!changes.observe("setting.a", 3, version(1, "x", b"old")));
        assert_eq!(requests(&mut changes), []);
        assert_eq!(next(&changes), Some((3, in_force.clone())));
        // Another node was faster.
        assert!(changes.observe("setting.a", 4, in_force));
        assert_eq!(next(&changes), None);
        // And so was somebody who has changed it meanwhile.
        assert!(!changes.observe("setting.a", 5, setting("x", b"")));
        assert!(changes.observe("setting.a", 6, version(3, "z", b"newer")));
        assert_eq!(next(&changes), None);
        requests(&mut changes);
        // A change of ours is written over it as over any other.
        assert!(!changes.observe("setting.a", 7, version(1, "x", b"old")));
        changes.set("a", b"ours".to_vec());
        assert_eq!(next(&changes), Some((7, version(4, "us", b"ours"))));
    }

    #[test]
    fn private_pools_outlast_reloads_and_restarts() {
        let mut changes = ChangesView::default();
        assert!(changes.observe("setting.pool.a", 1, setting("x", b"one")));
        changes.end_all();
        assert_eq!(next(&changes), None);
        // One was removed while this node was away.
        assert!(changes.observe("setting.pool.b", 2, version(2, "x", b"")));
        assert_eq!(requests(&mut changes), [Some(b"one".to_vec()), None]);
        for name in ["pool.a", "pool.b", "pool.c"] {
            changes.propose(name, b"kept".to_vec());
        }
        assert_eq!(next(&changes), None);
        changes.complete();
        let (key, revision, setting) = changes.next("us", start()).unwrap();
        assert_eq!((&*key, revision), ("setting.pool.c", 0));
        assert_eq!(setting, version(1, "us", b"kept"));
        changes.has_written(start(), &key, b"kept");
        assert_eq!(next(&changes), None);
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let mut changes = ChangesView::default();
        for number in 0..=NAMES_MAX as u64 {
            let is_noted = changes.observe(&key(&number.to_string()), 1, setting("x", b"one"));
            assert_eq!(is_noted, number < NAMES_MAX as u64);
        }
        assert!(!changes.observe("window", 1, setting("x", b"one")));
    }
}

//! A bounded, ordered backlog of entries that could not be written yet.

use std::collections::VecDeque;

/// Entries waiting for their file to become writable.
#[derive(Clone, Debug)]
pub struct Backlog<T> {
    entries: VecDeque<T>,
    limit: usize,
}

impl<T> Backlog<T> {
    /// Creates a backlog of at most `limit` entries.
    pub fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            limit,
        }
    }

    /// Adds the newest entry. Returns the oldest if there is no room for both.
    #[must_use = "what is given back is lost"]
    pub fn push(&mut self, entry: T) -> Option<T> {
        self.entries.push_back(entry);
        if self.entries.len() <= self.limit {
            return None;
        }
        self.entries.pop_front()
    }

    /// Returns true if no entry is waiting.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of waiting entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All waiting entries, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    /// Tries to write each entry, oldest first; entries whose write `fails` stay.
    pub fn retain(&mut self, fails: impl FnMut(&T) -> bool) {
        self.entries.retain(fails);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut backlog = Backlog::new(2);
        for entry in ["a", "b"] {
            assert_eq!(backlog.push(entry), None);
        }
        assert_eq!(backlog.push("c"), Some("a"));
        assert_eq!(backlog.entries().collect::<Vec<_>>(), [&"b", &"c"]);
        backlog.retain(|entry| *entry == "c");
        assert_eq!((backlog.len(), backlog.is_empty()), (1, false));
    }
}

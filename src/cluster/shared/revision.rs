//! The revisions over which values are written. Pure.

/// The last revision of a value that the watch has told; 0 if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastRevision {
    number: u64,
    /// True if a watch that has begun anew has not told it yet.
    is_untold: bool,
}

impl LastRevision {
    pub(super) fn number(self) -> u64 {
        self.number
    }

    /// Notes the revision of a value. Returns false if the value is known or an older one. The
    /// bucket of a watch that has begun anew may be another one, with lower revisions.
    pub(super) fn note(&mut self, number: u64) -> bool {
        let is_older = number < self.number && !self.is_untold;
        let is_news = !is_older && number != self.number;
        self.is_untold = false;
        if is_news {
            self.number = number;
        }
        is_news
    }

    /// Notes that a watch begins anew.
    pub(super) fn begin_watch(&mut self) {
        self.is_untold = true;
    }

    /// Notes that the watch has told all. Returns true if there is no such value any more.
    pub(super) fn complete(&mut self) -> bool {
        let has_vanished = std::mem::take(&mut self.is_untold);
        if has_vanished {
            self.number = 0;
        }
        has_vanished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_revisions_are_those_of_another_bucket() {
        let mut last = LastRevision::default();
        assert!(last.note(7) && !last.note(7) && !last.note(6));
        last.begin_watch();
        assert!(!last.note(7) && !last.note(6));
        last.begin_watch();
        assert!(last.note(3) && !last.note(2) && last.note(4));
        assert!(!last.complete());
        last.begin_watch();
        assert!(last.complete() && last.number() == 0 && last.note(1));
    }
}

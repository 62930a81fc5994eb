//! Pagination of lists (AIP-158).

use std::hash::{Hash as _, Hasher as _};

use siphasher::sip::SipHasher13;
use tonic::Status;

use super::violations::invalid;

/// The default size of a page.
const DEFAULT_SIZE: usize = 100;
/// The maximum size of a page.
const SIZE_MAX: usize = 1_000;

/// The requested page of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListPage {
    size: usize,
    /// The lowest number that an entry on the page may have.
    first: u64,
    /// The hash of the list's identity; a token of another list is refused.
    list: u64,
}

impl ListPage {
    /// The page that a request asks for. `list` identifies the list: its filter or
    /// version.
    pub(super) fn asked(size: i32, token: &str, list: &str) -> Result<Self, Status> {
        let size = match usize::try_from(size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(SIZE_MAX),
            Err(_) => return Err(invalid("page_size", "must not be negative")),
        };
        let list = hash(list);
        let first = match token {
            "" => 0,
            token => parse(token)
                .filter(|(of, _)| *of == list)
                .map(|(_, first)| first)
                .ok_or_else(|| invalid("page_token", "is none of this list"))?,
        };
        Ok(Self { size, first, list })
    }

    /// The entries on the page and the token of the next page, which is empty for the
    /// last one. The entries must be sorted by their unique numbers.
    pub(super) fn of<T>(
        self,
        entries: impl IntoIterator<Item = T>,
        number: impl Fn(&T) -> u64,
    ) -> (Vec<T>, String) {
        let from_first = entries
            .into_iter()
            .filter(|entry| number(entry) >= self.first);
        let mut entries: Vec<T> = from_first.take(self.size + 1).collect();
        let next = entries.get(self.size).map(number);
        entries.truncate(self.size);
        let token = next.map(|next| format!("{:016x}{next:016x}", self.list));
        (entries, token.unwrap_or_default())
    }
}

fn parse(token: &str) -> Option<(u64, u64)> {
    let (list, first) = token.split_at_checked(16)?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(list)?, number(first)?))
}

fn hash(list: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    list.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn page(size: i32, token: &str) -> (Vec<u64>, String) {
        let page = ListPage::asked(size, token, "even").unwrap();
        page.of((0..300).map(|n| 2 * n), |n| *n)
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let (mut all, mut token) = page(7, "");
        while !token.is_empty() {
            let (entries, next) = page(7, &token);
            assert!(entries.len() == 7 || next.is_empty());
            all.extend(entries);
            token = next;
        }
        assert!(all.into_iter().eq((0..300).map(|n| 2 * n)));
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(page(0, "").0.len(), 100);
        assert_eq!(page(1, "").0.len(), 1);
        assert_eq!(page(i32::MAX, "").0.len(), 300);
        let all = ListPage::asked(i32::MAX, "", "").unwrap();
        assert_eq!(all.of(0..2_000, |n| *n).0.len(), 1_000);
        let below = ListPage::asked(-1, "", "").unwrap_err();
        assert_eq!(below.code(), Code::InvalidArgument);
    }

    #[test]
    fn a_token_is_of_one_list() {
        let (_, token) = page(7, "");
        for (token, list) in [(&*token, "odd"), ("x", "even"), (&token[1..], "even")] {
            let refused = ListPage::asked(7, token, list).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{token} {list}");
        }
    }

    #[test]
    fn an_entry_that_is_gone_leaves_no_gap() {
        let (_, token) = page(7, "");
        let page = ListPage::asked(2, &token, "even").unwrap();
        let (entries, _) = page.of([12, 15, 16, 18], |n| *n);
        assert_eq!(entries, [15, 16]);
    }
}

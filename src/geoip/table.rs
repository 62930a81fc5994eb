//! Sorted ranges of addresses and their countries.

use super::country::CountryCode;

/// An address as a number.
pub(super) trait Number: Copy + Ord {
    /// The address after this one; `None` after the last.
    fn next(self) -> Option<Self>;
}

/// The countries of all addresses of one family, as the addresses at which the
/// country changes. A gap between two ranges is a range of its own whose
/// country is unknown, so no range's end is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table<A> {
    starts: Box<[A]>,
    /// `countries[i]` from `starts[i]` up to `starts[i + 1]`.
    countries: Box<[CountryCode]>,
}

/// Takes ranges in ascending order.
pub(super) struct TableBuilder<A> {
    starts: Vec<A>,
    countries: Vec<CountryCode>,
    /// The last address of the last range.
    last: Option<A>,
}

impl<A: Number> Table<A> {
    pub(super) fn lookup(&self, address: A) -> CountryCode {
        let after = self.starts.partition_point(|start| *start <= address);
        after
            .checked_sub(1)
            .map_or(CountryCode::UNKNOWN, |index| self.countries[index])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(super) fn heap_size(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.countries)
    }
}

impl<A> Default for Table<A> {
    fn default() -> Self {
        Self {
            starts: Box::default(),
            countries: Box::default(),
        }
    }
}

impl<A: Number> TableBuilder<A> {
    /// With room for `ranges`; more are taken.
    pub(super) fn with_capacity(ranges: usize) -> Self {
        Self {
            starts: Vec::with_capacity(ranges),
            countries: Vec::with_capacity(ranges),
            last: None,
        }
    }

    /// Adds the range from `first` to `last`, both in it. Its start may lie
    /// inside ranges taken before only where the country is the same; otherwise
    /// `false`, and it is not added.
    #[must_use]
    pub(super) fn push(&mut self, first: A, last: A, country: CountryCode) -> bool {
        match self.last {
            Some(end) if first <= end => return self.extend(first, last, country),
            Some(end) => self.fill_gap(end, first),
            None => {}
        }
        self.start(first, country);
        self.last = Some(last);
        true
    }

    pub(super) fn build(mut self) -> Table<A> {
        if let Some(after) = self.last.and_then(A::next) {
            self.start(after, CountryCode::UNKNOWN);
        }
        Table {
            starts: self.starts.into_boxed_slice(),
            countries: self.countries.into_boxed_slice(),
        }
    }

    fn extend(&mut self, first: A, last: A, country: CountryCode) -> bool {
        let fits = self.starts.last().is_some_and(|start| *start <= first)
            && self.countries.last() == Some(&country);
        if fits {
            self.last = self.last.max(Some(last));
        }
        fits
    }

    fn fill_gap(&mut self, end: A, first: A) {
        if let Some(after) = end.next().filter(|after| *after < first) {
            self.start(after, CountryCode::UNKNOWN);
        }
    }

    /// Where the country does not change, the range before goes on.
    fn start(&mut self, first: A, country: CountryCode) {
        if self.countries.last() != Some(&country) {
            self.starts.push(first);
            self.countries.push(country);
        }
    }
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

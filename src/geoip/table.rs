//! Sorted ranges of addresses, each with a value.

/// An address as a number, split in two halves: a search over numbers of the processor's
/// word size takes a third of the time.
pub(super) trait Number: Copy + Ord {
    /// The half that suffices for nearly every search.
    type High: Copy + Ord;
    /// The half that distinguishes addresses with the same high half.
    type Low: Copy + Ord;

    fn split(self) -> (Self::High, Self::Low);

    /// The next address; `None` after the last.
    fn next(self) -> Option<Self>;
}

/// The value of a range, such as a country. The default is that of all addresses in no range.
pub(super) trait RangeValue: Copy + Eq + Default {}

impl<V: Copy + Eq + Default> RangeValue for V {}

/// The values of all addresses of one family, stored as the addresses at which the value
/// changes. A gap between two ranges is a range with the default value, so range ends are
/// not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeTable<A: Number, V> {
    highs: Box<[A::High]>,
    lows: Box<[A::Low]>,
    /// The value from the start at the same index up to the next start.
    values: Box<[V]>,
    /// The first start of each block of `highs`. They fit in the processor's cache, so a
    /// lookup leaves the cache for only one block.
    fences: Box<[A::High]>,
}

/// The number of starts in a block.
const BLOCK: usize = 64;

/// Builds a table from ranges in ascending order.
pub(super) struct RangeTableBuilder<A: Number, V> {
    highs: Vec<A::High>,
    lows: Vec<A::Low>,
    values: Vec<V>,
    /// The start of the last range.
    first: Option<A>,
    /// The last address of the last range.
    last: Option<A>,
}

impl<A: Number, V: RangeValue> RangeTable<A, V> {
    pub(super) fn lookup(&self, address: A) -> V {
        self.starts_up_to(address)
            .checked_sub(1)
            .map_or_else(V::default, |index| self.values[index])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn heap_size(&self) -> usize {
        size_of_val(&*self.highs)
            + size_of_val(&*self.lows)
            + size_of_val(&*self.values)
            + size_of_val(&*self.fences)
    }

    fn starts_up_to(&self, address: A) -> usize {
        let (high, low) = address.split();
        let after = self.highs_up_to(high);
        if after == 0 || self.highs[after - 1] != high {
            return after;
        }
        let begin = self.highs[..after].partition_point(|start| *start < high);
        begin + self.lows[begin..after].partition_point(|start| *start <= low)
    }

    fn highs_up_to(&self, high: A::High) -> usize {
        let fences = self.fences.partition_point(|fence| *fence <= high);
        // The address lies after the last fence passed and before the next one.
        let begin = fences.saturating_sub(1) * BLOCK;
        let end = self.highs.len().min(fences * BLOCK);
        begin + self.highs[begin..end].partition_point(|start| *start <= high)
    }
}

impl<A: Number, V: RangeValue> Default for RangeTable<A, V> {
    fn default() -> Self {
        RangeTableBuilder::with_capacity(0).build()
    }
}

impl<A: Number, V: RangeValue> RangeTableBuilder<A, V> {
    /// Reserves memory for `ranges`, which may be exceeded.
    pub(super) fn with_capacity(ranges: usize) -> Self {
        Self {
            highs: Vec::with_capacity(ranges),
            lows: Vec::with_capacity(ranges),
            values: Vec::with_capacity(ranges),
            first: None,
            last: None,
        }
    }

    /// Adds the range from `first` to `last`, inclusive. Returns false, and adds nothing,
    /// if the range starts inside an earlier range with another value.
    #[must_use]
    pub(super) fn push(&mut self, first: A, last: A, value: V) -> bool {
        match self.last {
            Some(end) if first <= end => return self.extend(first, last, value),
            Some(end) => self.fill_gap(end, first),
            None => {}
        }
        self.start(first, value);
        self.last = Some(last);
        true
    }

    pub(super) fn build(mut self) -> RangeTable<A, V> {
        if let Some(after) = self.last.and_then(A::next) {
            self.start(after, V::default());
        }
        let fences = self.highs.iter().step_by(BLOCK).copied().collect();
        RangeTable {
            highs: self.highs.into_boxed_slice(),
            lows: self.lows.into_boxed_slice(),
            values: self.values.into_boxed_slice(),
            fences,
        }
    }

    fn extend(&mut self, first: A, last: A, value: V) -> bool {
        let fits =
            self.first.is_some_and(|start| start <= first) && self.values.last() == Some(&value);
        if fits {
            self.last = self.last.max(Some(last));
        }
        fits
    }

    fn fill_gap(&mut self, end: A, first: A) {
        if let Some(after) = end.next().filter(|after| *after < first) {
            self.start(after, V::default());
        }
    }

    /// Starts a range, or continues the previous one if the value is the same.
    fn start(&mut self, first: A, value: V) {
        if self.values.last() != Some(&value) {
            let (high, low) = first.split();
            self.highs.push(high);
            self.lows.push(low);
            self.values.push(value);
            self.first = Some(first);
        }
    }
}

impl Number for u32 {
    type High = Self;
    type Low = ();

    fn split(self) -> (Self, ()) {
        (self, ())
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    type High = u64;
    type Low = u64;

    #[expect(clippy::cast_possible_truncation, reason = "each half is 64 bits")]
    fn split(self) -> (u64, u64) {
        ((self >> 64) as u64, self as u64)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

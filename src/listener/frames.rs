//! The frames of an HTTP/2 connection (RFC 9113, section 4): the amount of received data that h2
//! keeps but that is not a request yet, and whether there is data that nobody reads. Of streams
//! that have been reset, h2 takes any amount, as fast as it comes.

/// The size of a frame's header.
const HEADER: usize = 9;
/// The size of the client's preface.
const PREFACE: usize = 24;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// The amount of data that a peer may send for each request: more than the largest message of
/// gRPC (4 MiB).
const DATA_PER_REQUEST: usize = 8 << 20;

/// A parser for the frames of a connection, from its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// The number of received bytes of the current frame's header.
    header_read: usize,
    /// The numbers of received and missing bytes of its payload.
    read: usize,
    left: usize,
    /// The size of an incomplete head so far.
    head: usize,
    /// True if the whole preface has been received.
    has_begun: bool,
    /// The amount of data that may come until the next request.
    room: usize,
    /// True if more has come.
    is_flooded: bool,
}

impl Frames {
    /// A parser for a connection without any bytes so far.
    pub(super) fn new() -> Self {
        Self {
            // The preface is treated as a frame of an unknown type.
            header: [0xff; HEADER],
            header_read: HEADER,
            read: 0,
            left: PREFACE,
            head: 0,
            has_begun: false,
            room: 0,
            is_flooded: false,
        }
    }

    /// Processes the next bytes. Returns the number of bytes now buffered, in an
    /// incomplete head and an incomplete frame.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> usize {
        while !bytes.is_empty() {
            let taken = if self.header_read < HEADER {
                self.read_header(bytes)
            } else {
                self.read_payload(bytes)
            };
            bytes = &bytes[taken..];
        }
        self.head + self.read + self.header_read % HEADER
    }

    /// Returns true once the preface has been received.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Returns true if there is more data than there can be for the requests so far.
    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded
    }

    fn read_header(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(HEADER - self.header_read);
        let place = self.header_read..self.header_read + taken;
        self.header[place].copy_from_slice(&bytes[..taken]);
        self.header_read += taken;
        if self.header_read == HEADER {
            let [a, b, c, ..] = self.header.map(usize::from);
            self.left = a << 16 | b << 8 | c;
            self.end_if_whole();
        }
        taken
    }

    fn read_payload(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.left);
        self.read += taken;
        self.left -= taken;
        self.end_if_whole();
        taken
    }

    fn end_if_whole(&mut self) {
        if self.left > 0 {
            return;
        }
        let (kind, flags) = (self.header[3], self.header[4]);
        if matches!(kind, HEADERS | CONTINUATION) {
            let goes_on = flags & END_HEADERS == 0;
            self.head = if goes_on { self.head + self.read } else { 0 };
        }
        match kind {
            HEADERS => self.room = self.room.saturating_add(DATA_PER_REQUEST),
            DATA if self.read > self.room => self.is_flooded = true,
            DATA => self.room -= self.read,
            _ => {}
        }
        self.has_begun = true;
        self.header_read = 0;
        self.read = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let header = [&size[1..], &[kind, flags, 0, 0, 0, 1]].concat();
        [header, vec![0xff; length]].concat()
    }

    /// The number of buffered bytes, computed from all bytes at once.
    fn naive(bytes: &[u8]) -> usize {
        let Some(mut rest) = bytes.get(PREFACE..) else {
            return bytes.len();
        };
        let mut head = 0;
        while let Some(&[a, b, c, kind, flags, ..]) = rest.first_chunk::<HEADER>() {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let Some(next) = rest.get(HEADER + length..) else {
                return head + rest.len() - HEADER;
            };
            if [HEADERS, CONTINUATION].contains(&kind) {
                let is_last = flags & END_HEADERS != 0;
                head = if is_last { 0 } else { head + length };
            }
            rest = next;
        }
        head + rest.len()
    }

    #[test]
    fn only_heads_and_frames_that_are_not_whole_are_kept() {
        let mut frames = Frames::new();
        assert_eq!(frames.read(&[0; PREFACE - 1]), PREFACE - 1);
        assert_eq!(frames.read(&[0]), 0);
        for (frame, kept) in [
            (frame(DATA, 0, 16_000), 0),
            (frame(6, 0, 8), 0),
            (frame(HEADERS, 0, 16_000), 16_000),
            (frame(CONTINUATION, 0, 10_000), 26_000),
            (frame(CONTINUATION, END_HEADERS, 10), 0),
            (frame(HEADERS, END_HEADERS | 1, 100), 0),
            (frame(DATA, 0, 16_000)[..10_009].to_vec(), 10_000),
        ] {
            assert_eq!(frames.read(&frame), kept);
        }
        assert_eq!(frames.read(&[0; 6_000]), 0);
    }

    #[test]
    fn there_is_so_much_data_for_each_request_and_no_more() {
        let mut frames = Frames::new();
        frames.read(&[0; PREFACE]);
        let piece = frame(DATA, 0, 16_384);
        for _ in 0..2 {
            frames.read(&frame(HEADERS, END_HEADERS, 10));
        }
        for _ in 0..2 * DATA_PER_REQUEST / 16_384 {
            frames.read(&piece);
            assert!(!frames.is_flooded());
        }
        frames.read(&frame(6, 0, 8));
        assert!(!frames.is_flooded());
        frames.read(&piece);
        assert!(frames.is_flooded());
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_the_same(
            kinds in prop::collection::vec((0..12_u8, any::<u8>(), 0..300_usize), 0..20),
            cuts in prop::collection::vec(1..200_usize, 1..60),
        ) {
            let all = kinds.into_iter().map(|(kind, flags, length)| frame(kind, flags, length));
            let all = [vec![0; PREFACE], all.collect::<Vec<_>>().concat()].concat();
            let (mut frames, mut at) = (Frames::new(), 0);
            for cut in cuts {
                let end = (at + cut).min(all.len());
                let kept = frames.read(&all[at..end]);
                at = end;
                prop_assert_eq!(kept, naive(&all[..at]));
            }
        }
    }
}

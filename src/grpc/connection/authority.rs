//! Callers whose requests name the socket's path as the authority.
//!
//! gRPC for Go did so until 2023, grpcurl 1.8 with it; gRPC for C, and so for Python,
//! Ruby and PHP, escapes the path since 1.57 (`run%2Fadmin.sock`). The first is no
//! authority (RFC 3986 section 3.2), the second one that the HTTP library does not
//! take: it resets the stream. Over a Unix socket the authority says nothing: here
//! each literal one becomes `localhost` on its way in. The header table (RFC 7541) of
//! the reader then holds another value under the same index, and none that is longer,
//! so that all later references stay right.

use bytes::{Buf as _, BufMut as _, BytesMut};

/// What every connection begins with (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// The head of a frame: length, type, flags, stream.
const FRAME_HEAD: usize = 9;
/// The type of a frame that begins a request.
const HEADERS: u8 = 0x1;
/// Flags of such a frame.
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// How long the priority in it is.
const PRIORITY_LENGTH: usize = 5;
/// Longer frames are refused by the HTTP library anyway.
const FRAME_MAX: usize = 16_384;
/// `:authority` in the static table; written out; and in the Huffman code.
const AUTHORITY: u64 = 1;
const AUTHORITY_NAME: &[u8] = b":authority";
const AUTHORITY_IN_HUFFMAN_CODE: &[u8] = b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f";
/// The host that a caller may mean. Any beginning of it is a name, too.
const LOCALHOST: &[u8] = b"localhost";

/// Rewrites the bytes of one connection, in the direction of the server.
#[derive(Debug)]
pub(super) struct AuthorityFilter {
    /// What has come of a frame that has to be whole.
    held: BytesMut,
    /// How many bytes pass unseen.
    passing: usize,
}

impl AuthorityFilter {
    pub(super) fn new() -> Self {
        Self {
            held: BytesMut::new(),
            passing: PREFACE,
        }
    }

    /// Takes bytes as they come, and adds to `out` what the server is to see.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() {
            let unseen = bytes.len().min(self.passing);
            out.put_slice(&bytes[..unseen]);
            self.passing -= unseen;
            bytes.advance(unseen);
            if !bytes.is_empty() {
                bytes = self.frame(bytes, out);
            }
        }
    }

    /// Takes bytes of a frame; returns those behind it, or behind its head.
    fn frame<'a>(&mut self, mut bytes: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
        self.hold(&mut bytes, FRAME_HEAD);
        if self.held.len() < FRAME_HEAD {
            return bytes;
        }
        let length = usize::from(self.held[0]) << 16
            | usize::from(self.held[1]) << 8
            | usize::from(self.held[2]);
        if self.held[3] != HEADERS || length > FRAME_MAX {
            self.passing = length;
            out.put(self.held.split());
            return bytes;
        }
        self.hold(&mut bytes, FRAME_HEAD + length);
        if self.held.len() == FRAME_HEAD + length {
            let frame = self.held.split();
            out.put_slice(&rewritten(&frame).unwrap_or_else(|| frame.to_vec()));
        }
        bytes
    }

    /// Holds bytes until there are so many.
    fn hold(&mut self, bytes: &mut &[u8], wanted: usize) {
        let missing = wanted.saturating_sub(self.held.len()).min(bytes.len());
        self.held.put_slice(&bytes[..missing]);
        bytes.advance(missing);
    }
}

/// The frame with another authority; `None` if it has no literal one or goes on
/// in another frame in the middle of a field.
fn rewritten(frame: &[u8]) -> Option<Vec<u8>> {
    let flags = frame[4];
    if flags & PADDED != 0 {
        return None;
    }
    let skipped = if flags & PRIORITY == 0 {
        0
    } else {
        PRIORITY_LENGTH
    };
    let mut fields = Fields(frame.get(FRAME_HEAD + skipped..)?);
    let value = loop {
        if let Field::Authority(value) = fields.next()? {
            break value;
        }
    };
    let host = &LOCALHOST[..value.bytes.len().clamp(1, LOCALHOST.len())];
    let end = frame.len() - fields.0.len();
    let start = end - value.written;
    let payload = start - FRAME_HEAD + 1 + host.len() + fields.0.len();
    let mut rewritten = Vec::with_capacity(FRAME_HEAD + payload);
    rewritten.extend_from_slice(&u32::try_from(payload).ok()?.to_be_bytes()[1..]);
    rewritten.extend_from_slice(&frame[3..start]);
    rewritten.push(u8::try_from(host.len()).ok()?);
    rewritten.extend_from_slice(host);
    rewritten.extend_from_slice(&frame[end..]);
    Some(rewritten)
}

/// A field of a header block.
enum Field<'a> {
    /// The authority, with a value of its own that is just before what is left.
    Authority(Text<'a>),
    Other,
}

/// A string of a header block.
struct Text<'a> {
    bytes: &'a [u8],
    is_in_huffman_code: bool,
    /// The bytes that it takes with its length.
    written: usize,
}

impl Text<'_> {
    fn is_authority(&self) -> bool {
        self.bytes
            == if self.is_in_huffman_code {
                AUTHORITY_IN_HUFFMAN_CODE
            } else {
                AUTHORITY_NAME
            }
    }
}

/// The fields of a header block that are left (RFC 7541 section 6).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Passes a field; `None` at the end.
    fn next(&mut self) -> Option<Field<'a>> {
        let first = *self.0.first()?;
        let name = match first {
            // An indexed field, or a new size of the table.
            0x80.. => return self.integer(7).map(|_| Field::Other),
            0x20..0x40 => return self.integer(5).map(|_| Field::Other),
            0x40..0x80 => self.integer(6)?,
            _ => self.integer(4)?,
        };
        let is_authority = match name {
            0 => self.string()?.is_authority(),
            index => index == AUTHORITY,
        };
        let value = self.string()?;
        Some(if is_authority {
            Field::Authority(value)
        } else {
            Field::Other
        })
    }

    /// Passes a string.
    fn string(&mut self) -> Option<Text<'a>> {
        let before = self.0;
        let is_in_huffman_code = before.first()? & 0x80 != 0;
        let length = usize::try_from(self.integer(7)?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Text {
            bytes,
            is_in_huffman_code,
            written: before.len() - rest.len(),
        })
    }

    /// Passes an integer whose first byte has so many bits of it (section 5.1).
    fn integer(&mut self, bits: u32) -> Option<u64> {
        let mask = (1 << bits) - 1;
        let first = u64::from(self.0.first()? & mask);
        self.0 = &self.0[1..];
        if first < u64::from(mask) {
            return Some(first);
        }
        let mut value = first;
        for shift in (0..=28).step_by(7) {
            let byte = *self.0.first()?;
            self.0 = &self.0[1..];
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `:authority` as a field to be remembered: by its index, as gRPC for Go names it;
    /// written out, as that for C; in the Huffman code.
    const NAMES: [&[u8]; 3] = [
        b"\x41",
        b"\x40\x0a:authority",
        b"\x40\x88\xb8\x3b\x53\x39\xec\x32\x7d\x7f",
    ];

    /// `:method POST`, `:scheme http`, `:path` in plain, `:authority` as given
    /// in plain, a field with a new name.
    fn request(authority: &str) -> Vec<u8> {
        named(NAMES[0], authority)
    }

    fn named(name: &[u8], authority: &str) -> Vec<u8> {
        let mut block = vec![0x83, 0x86, 0x44, 0x02];
        block.extend(b"/a");
        block.extend(name);
        block.push(u8::try_from(authority.len()).unwrap());
        block.extend(authority.as_bytes());
        block.extend([0x40, 0x02]);
        block.extend(b"te");
        block.extend([0x01, b'x']);
        frame(HEADERS, 0x4, &block)
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn passed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut filter = AuthorityFilter::new();
        let mut out = BytesMut::new();
        for piece in pieces {
            filter.pass(piece, &mut out);
        }
        out.to_vec()
    }

    #[test]
    fn a_path_becomes_localhost() {
        let preface = [b'P'; PREFACE];
        let data = frame(0, 0, b"body");
        for name in NAMES {
            let sent = |authority| named(name, authority);
            let sent = [
                &preface[..],
                &sent("/run/a.sock"),
                &data,
                &sent("run%2Fb"),
                &sent(""),
            ];
            let seen = |authority| named(name, authority);
            // What is remembered never is longer than what was sent.
            let seen = [
                &preface[..],
                &seen("localhost"),
                &data,
                &seen("localho"),
                &seen("l"),
            ];
            assert_eq!(passed(&[&sent.concat()]), seen.concat());
        }
    }

    #[test]
    fn the_huffman_code_of_the_name_is_right() {
        let mut bits = String::new();
        // RFC 7541, appendix B.
        for code in [
            "1011100", "00011", "101101", "01001", "100111", "00111", "101100", "00110", "01001",
            "1111010",
        ] {
            bits.push_str(code);
        }
        let padding = "1".repeat(bits.len().next_multiple_of(8) - bits.len());
        bits.push_str(&padding);
        let bytes = bits.as_bytes().chunks(8);
        let bytes = bytes.map(|bits| u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap());
        assert_eq!(bytes.collect::<Vec<_>>(), AUTHORITY_IN_HUFFMAN_CODE);
    }

    #[test]
    fn what_has_no_literal_authority_passes() {
        let preface = [b'P'; PREFACE];
        let settings = frame(4, 0, &[0; 6]);
        let indexed = frame(HEADERS, 0x4, &[0x83, 0x86, 0x3f, 0xe1, 0x1f, 0xbe]);
        let padded = frame(HEADERS, PADDED | 0x4, &[1, 0x83, 0]);
        let cut = frame(HEADERS, 0, &[0x41, 0x7f]);
        let sent = [&preface[..], &settings, &indexed, &padded, &cut].concat();
        assert_eq!(passed(&[&sent]), sent);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_are_cut(cuts in prop::collection::vec(0_usize..200, 0..20)) {
            let preface = [b'P'; PREFACE];
            let sent = [&preface[..], &request("/run/a.sock"), &frame(0, 0, b"body"), &request("/b")].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(sent.len())).collect();
            cuts.extend([0, sent.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &sent[cut[0]..cut[1]]).collect();
            prop_assert_eq!(passed(&pieces), passed(&[&sent]));
        }

        #[test]
        fn any_bytes_pass_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut sent = vec![b'P'; PREFACE];
            sent.extend(frame(HEADERS, 0x4, &bytes));
            prop_assert!(passed(&[&sent]).len() >= PREFACE + FRAME_HEAD);
        }
    }
}

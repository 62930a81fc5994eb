//! The `:authority` of requests over a Unix socket, where it has no meaning.
//!
//! Clients send the path of the socket in it, either as it is (gRPC for Go until 2023) or
//! escaped (gRPC for C since 1.57, and so for Python, C++, Ruby and PHP). Neither is a
//! valid authority (RFC 3986, section 3.2), and h2 resets the stream. This module
//! replaces each with `localhost`. A changed header block no longer matches the client's
//! dynamic table (RFC 7541), so all blocks are re-encoded without a table.

use std::io::{self, ErrorKind};

use bytes::{Buf as _, BufMut as _, BytesMut};
use loona_hpack::Decoder;
use loona_hpack::encoder::encode_integer_into;

/// The size of the client's connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// The size of a frame's header: length, type, flags, stream.
const FRAME_HEAD: usize = 9;
/// The maximum payload that h2 accepts.
const FRAME_MAX: usize = 16_384;
/// Types of frames with a header block.
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
/// Flags of these frames.
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The size of the priority, which is removed: RFC 9113 deprecates it.
const PRIORITY_LENGTH: usize = 5;
/// The maximum size of the client's dynamic table (`SETTINGS_HEADER_TABLE_SIZE`).
const TABLE_MAX: usize = 4_096;
/// The overhead of a field in addition to its name and value (RFC 9113, section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Rewrites the bytes of one HTTP/2 connection from the client to the server.
pub(super) struct AuthorityRewriter {
    decoder: Decoder<'static>,
    /// The maximum size of a request's head, in bytes.
    head_max: usize,
    /// The received part of a frame that must be complete.
    held: BytesMut,
    /// The number of bytes to pass through unchanged.
    passing: usize,
    /// A head whose frames have not all been received.
    open: Option<OpenHead>,
}

struct OpenHead {
    stream: [u8; 4],
    /// The flags to keep.
    flags: u8,
    block: BytesMut,
}

impl AuthorityRewriter {
    /// A rewriter for a new connection to a server that accepts heads of up to `head_max`
    /// bytes.
    pub(super) fn new(head_max: usize) -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE_MAX);
        Self {
            decoder,
            head_max,
            held: BytesMut::new(),
            passing: PREFACE,
            open: None,
        }
    }

    /// Processes bytes as they arrive, and appends the bytes for the server to `out`.
    /// Fails if the frames or the header block are malformed or a block is too large; the
    /// connection must then end.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut BytesMut) -> io::Result<()> {
        while !bytes.is_empty() {
            let unseen = bytes.len().min(self.passing);
            out.put_slice(&bytes[..unseen]);
            self.passing -= unseen;
            bytes.advance(unseen);
            if !bytes.is_empty() {
                self.frame(&mut bytes, out)?;
            }
        }
        Ok(())
    }

    /// Processes bytes of a frame, at most to its end.
    fn frame(&mut self, bytes: &mut &[u8], out: &mut BytesMut) -> io::Result<()> {
        self.hold(bytes, FRAME_HEAD);
        let Some(&[a, b, c, kind, ..]) = self.held.first_chunk::<FRAME_HEAD>() else {
            return Ok(());
        };
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let is_of_head = match (&self.open, kind) {
            (None, kind) => kind == HEADERS,
            (Some(open), CONTINUATION) if open.stream == self.held[5..FRAME_HEAD] => true,
            (Some(_), _) => return Err(malformed("a head of which the end is missing")),
        };
        if !is_of_head || (length > FRAME_MAX && self.open.is_none()) {
            self.passing = length;
            out.put(self.held.split());
            return Ok(());
        }
        if length > FRAME_MAX {
            return Err(malformed("a frame that is too long"));
        }
        self.hold(bytes, FRAME_HEAD + length);
        if self.held.len() < FRAME_HEAD + length {
            return Ok(());
        }
        let frame = self.held.split();
        self.head_frame(&frame, out)
    }

    /// Buffers bytes until there are `wanted`.
    fn hold(&mut self, bytes: &mut &[u8], wanted: usize) {
        let missing = wanted.saturating_sub(self.held.len()).min(bytes.len());
        self.held.put_slice(&bytes[..missing]);
        bytes.advance(missing);
    }

    /// Processes a frame of a head.
    fn head_frame(&mut self, frame: &[u8], out: &mut BytesMut) -> io::Result<()> {
        let (flags, payload) = (frame[4], &frame[FRAME_HEAD..]);
        let mut head = match self.open.take() {
            None => OpenHead {
                stream: [frame[5], frame[6], frame[7], frame[8]],
                flags: flags & END_STREAM,
                block: BytesMut::from(fragment(flags, payload)?),
            },
            Some(mut head) => {
                head.block.put_slice(payload);
                head
            }
        };
        if head.block.len() > self.head_max {
            return Err(malformed("a head that is too large"));
        }
        if flags & END_HEADERS == 0 {
            self.open = Some(head);
            return Ok(());
        }
        head.block = self.rewritten(&head.block)?;
        head.put(out);
        // Releases the memory of a large head.
        self.held = BytesMut::new();
        Ok(())
    }

    /// The header block with its authority replaced. Of a block that is too large for the
    /// server, only as much is kept as the server needs to refuse it.
    fn rewritten(&mut self, block: &[u8]) -> io::Result<BytesMut> {
        let (mut size, mut rewritten) = (0, BytesMut::with_capacity(2 * block.len()).writer());
        let mut written = Ok(());
        let decoded = self.decoder.decode_with_cb(block, |name, value| {
            if size <= self.head_max && written.is_ok() {
                let is_authority = *name == *b":authority";
                let value = if is_authority { b"localhost" } else { &*value };
                written = put_field(&name, value, &mut rewritten);
                size += name.len() + value.len() + FIELD_OVERHEAD;
            }
        });
        decoded.map_err(malformed)?;
        written?;
        Ok(rewritten.into_inner())
    }
}

impl OpenHead {
    /// Writes the head in as many frames as needed.
    fn put(mut self, out: &mut BytesMut) {
        let mut kind = HEADERS;
        loop {
            let payload = self.block.split_to(self.block.len().min(FRAME_MAX));
            let is_last = self.block.is_empty();
            let end = if is_last { END_HEADERS } else { 0 };
            out.put_uint(payload.len() as u64, 3);
            out.put_slice(&[kind, self.flags | end]);
            out.put_slice(&self.stream);
            out.put(payload);
            if is_last {
                return;
            }
            (kind, self.flags) = (CONTINUATION, 0);
        }
    }
}

/// The fragment of the header block in the payload of a HEADERS frame.
fn fragment(flags: u8, mut payload: &[u8]) -> io::Result<&[u8]> {
    if flags & PADDED != 0 {
        let padding = payload.try_get_u8().map_err(malformed)?;
        let length = payload.len().checked_sub(padding.into());
        payload = &payload[..length.ok_or_else(|| malformed("more padding than payload"))?];
    }
    if flags & PRIORITY != 0 {
        let without = payload.get(PRIORITY_LENGTH..);
        payload = without.ok_or_else(|| malformed("a priority that is cut off"))?;
    }
    Ok(payload)
}

/// Writes a literal field without indexing and without Huffman coding (RFC 7541, section
/// 6.2.2).
fn put_field(name: &[u8], value: &[u8], out: &mut impl io::Write) -> io::Result<()> {
    out.write_all(&[0])?;
    for text in [name, value] {
        encode_integer_into(text.len(), 7, 0, out)?;
        out.write_all(text)?;
    }
    Ok(())
}

fn malformed(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests;

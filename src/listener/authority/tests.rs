use loona_hpack::Encoder;
use proptest::prelude::*;

use super::*;

const MAX: usize = 40_000;

type Field = (Vec<u8>, Vec<u8>);

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, 1]);
    frame.extend(payload);
    frame
}

fn field(name: &str, value: &str) -> Field {
    (name.into(), value.into())
}

/// The bytes that the server receives for these, after the preface.
fn passed(rewriter: &mut AuthorityRewriter, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = BytesMut::new();
    rewriter.pass(bytes, &mut out)?;
    Ok(out.to_vec())
}

fn begun() -> AuthorityRewriter {
    let mut rewriter = AuthorityRewriter::new(MAX);
    let preface = [b'P'; PREFACE];
    assert_eq!(passed(&mut rewriter, &preface).unwrap(), preface);
    rewriter
}

/// The fields of all heads in these frames, each with its end-of-stream flag; also checks
/// the frames' sizes.
fn heads(mut frames: &[u8]) -> Vec<(Vec<Field>, bool)> {
    let (mut heads, mut block, mut ends) = (Vec::new(), Vec::new(), false);
    while let Some(&[a, b, c, kind, flags, ..]) = frames.first_chunk::<FRAME_HEAD>() {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        assert!(length <= FRAME_MAX);
        if [HEADERS, CONTINUATION].contains(&kind) {
            ends |= flags & END_STREAM != 0;
            block.extend_from_slice(&frames[FRAME_HEAD..FRAME_HEAD + length]);
            if flags & END_HEADERS != 0 {
                // With an empty table each time, since the table is not used.
                let fields = Decoder::new().decode(&block).unwrap();
                heads.push((fields, ends));
                (block, ends) = (Vec::new(), false);
            }
        }
        frames = &frames[FRAME_HEAD + length..];
    }
    assert!(frames.is_empty() && block.is_empty());
    heads
}

#[test]
fn every_form_of_the_name_becomes_localhost() {
    let rest = [field(":method", "POST"), field("te", "x")];
    let expected = [&[field(":authority", "localhost")], &rest[..]].concat();
    let mut rewriter = begun();
    // Between `:method POST` and `te: x`: an indexed name; a literal name; one with
    // Huffman coding; never indexed; the name of an entry of the dynamic table, added by
    // the field before; and that whole entry.
    for name in [
        &b"\x41"[..],
        b"\x40\x0a:authority",
        b"\x40\x88\xb8\x3b\x53\x39\xec\x32\x7d\x7f",
        b"\x10\x0a:authority",
        b"\x7e",
    ] {
        let sent = [name, b"\x08run%2Fa/\x83\x00\x02te\x01x"].concat();
        let sent = frame(HEADERS, END_HEADERS, &sent);
        let seen = heads(&passed(&mut rewriter, &sent).unwrap());
        assert_eq!(seen, [(expected.clone(), false)], "{name:?}");
    }
    let indexed = frame(HEADERS, END_HEADERS, b"\xbe\x83\x00\x02te\x01x");
    let seen = heads(&passed(&mut rewriter, &indexed).unwrap());
    assert_eq!(seen, [(expected, false)]);
}

#[test]
fn padding_priority_and_continuations_are_understood() {
    let mut rewriter = begun();
    let padded = [&[3, 0, 0, 0, 0, 9][..], b"\x83\x41\x02/a", &[0; 3]].concat();
    let flags = PADDED | PRIORITY | END_HEADERS | END_STREAM;
    let cut = [
        frame(HEADERS, END_STREAM | PADDED, &[1, 0x83, 0x41, 0]),
        frame(CONTINUATION, 0, b"\x02"),
        frame(CONTINUATION, END_HEADERS, b"/a"),
    ];
    let sent = [frame(HEADERS, flags, &padded), cut.concat()].concat();
    let seen = heads(&passed(&mut rewriter, &sent).unwrap());
    let expected = vec![field(":method", "POST"), field(":authority", "localhost")];
    assert_eq!(seen, [(expected.clone(), true), (expected, true)]);
}

#[test]
fn all_else_passes() {
    let sent = [
        frame(4, 0, &[0; 6]),
        frame(0, 0, &[7; 10_000]),
        frame(CONTINUATION, 0, b"x"),
        // h2 refuses this frame.
        frame(HEADERS, 0, &vec![0; FRAME_MAX + 1]),
    ]
    .concat();
    assert_eq!(passed(&mut begun(), &sent).unwrap(), sent);
}

#[test]
fn what_is_wrong_ends_the_connection() {
    let opened = frame(HEADERS, 0, b"\x83");
    let rest = [0; FRAME_MAX];
    let too_large = [
        frame(HEADERS, 0, &rest),
        frame(CONTINUATION, 0, &rest),
        frame(CONTINUATION, 0, &rest),
    ];
    for wrong in [
        frame(HEADERS, END_HEADERS, b"\xff"),
        // A dynamic table larger than allowed.
        frame(HEADERS, END_HEADERS, b"\x3f\xe2\x1f\x83"),
        frame(HEADERS, END_HEADERS | PADDED, b"\x02\x83"),
        frame(HEADERS, END_HEADERS | PADDED, b""),
        frame(HEADERS, END_HEADERS | PRIORITY, b"1234"),
        [opened.clone(), frame(0, 0, b"")].concat(),
        [
            opened.clone(),
            frame(CONTINUATION, 0, &vec![0; FRAME_MAX + 1]),
        ]
        .concat(),
        too_large.concat(),
    ] {
        let error = passed(&mut begun(), &wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}

/// A decompression bomb: a few bytes refer to the table's large entry again and again.
#[test]
fn a_head_that_unpacks_to_too_much_is_cut_where_it_is_too_large() {
    let entry = [&b"\x40\x01a\x7f\x81\x17"[..], &[b'x'; 3_072]].concat();
    let block = [entry, vec![0xbe; 10_000]].concat();
    let sent = frame(HEADERS, END_HEADERS, &block);
    let seen = heads(&passed(&mut begun(), &sent).unwrap());
    let size = |field: &Field| field.0.len() + field.1.len() + FIELD_OVERHEAD;
    let seen: usize = seen[0].0.iter().map(size).sum();
    assert!((MAX + 1..MAX + 4_000).contains(&seen), "{seen}");
}

proptest! {
    #[test]
    fn fields_and_cuts_make_no_difference(
        heads_sent in prop::collection::vec(
            prop::collection::vec(("(:authority|[a-z]{1,9})", "[ -~]{0,200}"), 0..12),
            1..6,
        ),
        cuts in prop::collection::vec(1..300_usize, 1..60),
    ) {
        let mut encoder = Encoder::new();
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for fields in &heads_sent {
            let fields: Vec<Field> = fields.iter().map(|(name, value)| field(name, value)).collect();
            let pairs = fields.iter().map(|(name, value)| (&name[..], &value[..]));
            let block = encoder.encode(pairs);
            let (one, other) = block.split_at(block.len() / 3);
            sent.extend(frame(HEADERS, 0, one));
            sent.extend(frame(CONTINUATION, END_HEADERS, other));
            sent.extend(frame(0, 0, b"body"));
            let seen = fields.into_iter().map(|(name, value)| {
                let value = if name == b":authority" { b"localhost".to_vec() } else { value };
                (name, value)
            });
            expected.push((seen.collect::<Vec<_>>(), false));
        }
        let (mut rewriter, mut seen, mut at) = (begun(), Vec::new(), 0);
        for cut in cuts.into_iter().chain([sent.len()]) {
            let end = (at + cut).min(sent.len());
            seen.extend(passed(&mut rewriter, &sent[at..end]).unwrap());
            at = end;
        }
        prop_assert_eq!(heads(&seen), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = passed(&mut begun(), &frame(HEADERS, END_HEADERS, &bytes));
        let _ = passed(&mut begun(), &bytes);
    }
}

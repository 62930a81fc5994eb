//! Requests that two parsers may read in two ways. If a front took the broker's second
//! request for part of the first, it would give one client's response to another's
//! connection.

/// The request to be smuggled, which nothing else sends.
pub(crate) const INNER: &str = "GET /robots.txt HTTP/1.1\r\nHost: b\r\n\r\n";

/// Text in the response to the smuggled request.
pub(crate) const SMUGGLED: &str = "Disallow";

/// Heads and bodies around it. None is a request that all parsers read alike, so none may
/// be followed by another.
pub(crate) fn ambiguous(path: &str) -> Vec<String> {
    let length = INNER.len();
    let post =
        |head: &str, body: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}");
    let chunked = format!("0\r\n\r\n{INNER}");
    let total = chunked.len();
    let in_chunk = format!("{length:x}\r\n{INNER}\r\n0\r\n\r\n");
    let lengths = [
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        format!("Content-Length: 0, {length}"),
        "Content-Length: +0".to_owned(),
        "Content-Length: -0".to_owned(),
        "Content-Length: 0x0".to_owned(),
        "Content-Length: 0 0".to_owned(),
        "Content-Length: ".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
        "Content-Length : 0".to_owned(),
        "Content-Length\t: 0".to_owned(),
        "\tContent-Length: 0".to_owned(),
        format!("X: a\r\n Content-Length: {length}"),
        format!("X: a\rContent-Length: {length}"),
        format!("X: a\0\r\nContent-Length: {length}"),
        format!("Content\0-Length: {length}"),
        format!("Content-Length: {length}\x0b"),
    ];
    let encodings = [
        format!("Content-Length: {total}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {total}"),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding:\x0bchunked".to_owned(),
        " Transfer-Encoding: chunked".to_owned(),
        "X: a\r\n Transfer-Encoding: chunked".to_owned(),
        format!("X: a\nTransfer-Encoding: chunked\r\nContent-Length: {total}"),
        format!("X: a\nContent-Length: 0\r\nContent-Length: {total}"),
        "X: a\rTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding\0: chunked".to_owned(),
        "Transfer-Encoding: \"chunked\"".to_owned(),
        "Transfer-Encoding: chunked;a=b".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
    ];
    let chunk_sizes = [
        "-0",
        "0x0",
        "+0",
        "g",
        "",
        "10000000000000000",
        "0;\r",
        "0;\n",
    ];
    let mut shapes: Vec<String> = lengths.iter().map(|head| post(head, INNER)).collect();
    shapes.extend(encodings.iter().map(|head| post(head, &chunked)));
    // A parser that uses the length sees no request here, one that uses chunks does.
    shapes.push(post(
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        &in_chunk,
    ));
    let with_size = |size: &&str| {
        post(
            "Transfer-Encoding: chunked",
            &format!("{size}\r\n\r\n{INNER}"),
        )
    };
    shapes.extend(chunk_sizes.iter().map(with_size));
    // A chunk longer than its size says.
    let overlong = format!("1\r\naa\r\n{chunked}");
    shapes.push(post("Transfer-Encoding: chunked", &overlong));
    let old = format!("POST {path} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}");
    shapes.push(old);
    shapes
}

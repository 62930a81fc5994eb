//! TLS hellos made by hand: with groups and key shares in all orders, in pieces, and with
//! all kinds of names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConnection;
use rustls::crypto::aws_lc_rs;
use snowflake_broker::tls::{CertResolver, Certificate, ServerConfigs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sockets::FOREVER;
use crate::sockets::tls::front;

/// Numbers of groups (RFC 8446, section 4.2.7).
const X25519_MLKEM768: u16 = 0x11ec;
const X25519: u16 = 0x001d;
const P256: u16 = 0x0017;
const P384: u16 = 0x0018;
const P521: u16 = 0x0019;
/// An undefined group, as sent by Chrome (RFC 8701).
const GREASE: u16 = 0x2a2a;
/// The groups that the broker supports.
const KNOWN: [u16; 4] = [X25519_MLKEM768, X25519, P256, P384];

/// The random value that makes a server's hello a retry request (section 4.1.3).
const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];

/// The first message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    /// A hello with this key exchange group.
    Hello(u16),
    /// A request for another hello, with a share for this group.
    Retry(u16),
    /// An alert with this number.
    Alert(u8),
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        if bytes[0] == 21 {
            return Self::Alert(bytes[6]);
        }
        assert_eq!((bytes[0], bytes[5]), (22, 2), "no server's hello");
        // After the heads of the record and the message, and the version.
        let (random, after) = bytes[5 + 4 + 2..].split_at(32);
        let extensions = &after[1 + usize::from(after[0]) + 2 + 1 + 2..];
        let group = group_of_key_share(extensions);
        if random.starts_with(&RETRY) {
            Self::Retry(group)
        } else {
            Self::Hello(group)
        }
    }
}

fn group_of_key_share(mut extensions: &[u8]) -> u16 {
    loop {
        let number = |at: usize| u16::from_be_bytes([extensions[at], extensions[at + 1]]);
        if number(0) == 51 {
            return number(4);
        }
        extensions = &extensions[4 + usize::from(number(2))..];
    }
}

/// Makes hellos with real key shares.
struct Client {
    shares: BTreeMap<u16, Vec<u8>>,
}

impl Client {
    fn new() -> Self {
        let known = aws_lc_rs::ALL_KX_GROUPS.iter().map(|group| {
            let exchange = group.start().unwrap();
            (u16::from(group.name()), exchange.pub_key().to_vec())
        });
        let unknown = [(P521, vec![4; 133]), (GREASE, vec![0])];
        Self {
            shares: known.chain(unknown).collect(),
        }
    }

    /// The message without a record head.
    fn message(&self, groups: &[u16], shares: &[u16], name: Option<&str>) -> Vec<u8> {
        let numbers = |numbers: &[u16]| -> Vec<u8> {
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        };
        let share = |group: &u16| [numbers(&[*group]), sized(2, &self.shares[group])].concat();
        let shares: Vec<u8> = shares.iter().flat_map(share).collect();
        let extensions = [
            name.map(|name| {
                let name = [&[0], &*sized(2, name.as_bytes())].concat();
                extension(0, &sized(2, &name))
            })
            .unwrap_or_default(),
            extension(43, &sized(1, &numbers(&[GREASE, 0x0304, 0x0303]))),
            extension(13, &sized(2, &numbers(&[0x0403, 0x0804, 0x0401]))),
            extension(51, &sized(2, &shares)),
            extension(10, &sized(2, &numbers(groups))),
        ];
        let body = [
            numbers(&[0x0303]),
            vec![7; 32],
            sized(1, &[7; 32]),
            sized(2, &numbers(&[GREASE, 0x1301, 0xc02b])),
            sized(1, &[0]),
            sized(2, &extensions.concat()),
        ];
        [&[1], &*sized(3, &body.concat())].concat()
    }

    fn hello(&self, groups: &[u16], shares: &[u16]) -> Vec<u8> {
        in_records_of(usize::MAX, &self.message(groups, shares, None))
    }
}

fn in_records_of(length: usize, message: &[u8]) -> Vec<u8> {
    let records = message.chunks(length);
    records
        .flat_map(|fragment| [&[22, 3, 1], &*sized(2, fragment)].concat())
        .collect()
}

/// The bytes, preceded by their length in `width` bytes.
fn sized(width: usize, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_be_bytes();
    [&length[length.len() - width..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &*sized(2, content)].concat()
}

fn configs() -> ServerConfigs {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let resolver = CertResolver::default();
    resolver.set(Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap());
    ServerConfigs::new(&Arc::new(resolver)).unwrap()
}

fn reply(configs: &ServerConfigs, hello: &[u8]) -> Reply {
    let config = configs.choose(hello).expect("the hello is whole");
    let mut server = ServerConnection::new(config).unwrap();
    server.read_tls(&mut &*hello).unwrap();
    // An error produces an alert, too.
    server.process_new_packets().ok();
    let mut said = Vec::new();
    server.write_tls(&mut said).unwrap();
    Reply::read(&said)
}

/// The expected reply: a retry only if the client has sent no key share for any group
/// that the broker supports.
fn expected(groups: &[u16], shares: &[u16]) -> Reply {
    let known: Vec<u16> = groups
        .iter()
        .copied()
        .filter(|group| KNOWN.contains(group))
        .collect();
    let useful = known.iter().find(|group| shares.contains(group));
    match (useful, known.first()) {
        (Some(useful), _) => Reply::Hello(*useful),
        (None, Some(first)) => Reply::Retry(*first),
        // Handshake failure.
        (None, None) => Reply::Alert(40),
    }
}

/// Every order of every selection.
fn orders(of: &[u16]) -> Vec<Vec<u16>> {
    let longer = of.iter().flat_map(|first| {
        let others: Vec<u16> = of.iter().copied().filter(|other| other != first).collect();
        let rest = orders(&others).into_iter();
        rest.map(move |rest| [&[*first], &*rest].concat())
    });
    [Vec::new()].into_iter().chain(longer).collect()
}

/// Every selection, in the original order.
fn selections(of: &[u16]) -> impl Iterator<Item = Vec<u16>> {
    (0..1_u32 << of.len()).map(move |chosen| {
        let numbered = (0..).zip(of);
        let chosen = numbered.filter(|(number, _)| chosen & 1 << number != 0);
        chosen.map(|(_, group)| *group).collect()
    })
}

#[test]
fn nobody_is_asked_again_who_has_sent_a_share_that_is_of_use() {
    let (client, configs) = (Client::new(), configs());
    let mut hellos = 0;
    for groups in orders(&[X25519_MLKEM768, X25519, P256, P384, P521]) {
        if groups.is_empty() {
            continue;
        }
        for shares in selections(&groups) {
            let reply = reply(&configs, &client.hello(&groups, &shares));
            assert_eq!(reply, expected(&groups, &shares), "{groups:x?} {shares:x?}");
            hellos += 1;
        }
    }
    assert_eq!(hellos, 6_330);
}

/// Shares need not be in the order of the groups, and uTLS in imitation of a randomized
/// browser sends some for groups that are not in its list.
#[test]
fn shares_in_another_order_than_groups_do_no_harm() {
    let (client, configs) = (Client::new(), configs());
    for shares in orders(&KNOWN)
        .into_iter()
        .filter(|shares| !shares.is_empty())
    {
        for groups in [&[X25519, P256, P384][..], &[GREASE, P384, X25519_MLKEM768]] {
            let reply = reply(&configs, &client.hello(groups, &shares));
            assert_eq!(reply, expected(groups, &shares), "{groups:x?} {shares:x?}");
        }
    }
}

/// The reply to a hello that is sent in pieces.
async fn reply_over_tcp<'a>(addr: SocketAddr, pieces: impl IntoIterator<Item = &'a [u8]>) -> Reply {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut said = vec![0; 256];
    let read = timeout(FOREVER, stream.read(&mut said)).await;
    said.truncate(read.expect("no reply").unwrap());
    Reply::read(&said)
}

/// snowflake-client 2.14 with `utls-imitate=hellorandomizedalpn`, as in Tor's own bridge
/// lines: the post-quantum group comes first and has no share.
#[tokio::test]
async fn the_hellos_of_utls_are_answered_at_once() {
    let (client, front) = (Client::new(), front().await);
    let groups = [X25519_MLKEM768, X25519, P256, P384, P521];
    for shares in [&[X25519][..], &[X25519, P256], &[X25519_MLKEM768, X25519]] {
        let hello = client.hello(&groups, shares);
        let reply = reply_over_tcp(front.addr, [&*hello]).await;
        assert_eq!(reply, Reply::Hello(shares[0]));
    }
}

/// Some anti-censorship tools split hellos into small records or segments.
#[tokio::test]
async fn a_hello_may_come_in_any_pieces() {
    let (client, front) = (Client::new(), front().await);
    let message = client.message(&[P384, X25519], &[X25519], Some("broker.example"));
    for record in [usize::MAX, 1, 7, 100] {
        let hello = in_records_of(record, &message);
        for segment in [1, 5, 64, hello.len()] {
            let reply = reply_over_tcp(front.addr, hello.chunks(segment)).await;
            assert_eq!(reply, Reply::Hello(X25519), "{record} {segment}");
        }
    }
}

/// As README.md says, rustls refuses invalid server names, although the broker ignores
/// them. If rustls accepts them one day, the page must change.
#[tokio::test]
async fn server_names_that_are_no_dns_names_are_refused() {
    let (client, front) = (Client::new(), front().await);
    let hello = |name: &str| {
        let message = client.message(&[X25519], &[X25519], Some(name));
        in_records_of(usize::MAX, &message)
    };
    for name in [
        "broker.example",
        "front.example.",
        "192.0.2.1",
        "::1",
        "a_b.example",
    ] {
        let reply = reply_over_tcp(front.addr, [&*hello(name)]).await;
        assert_eq!(reply, Reply::Hello(X25519), "{name}");
    }
    for name in ["[::1]", "broker.example:443", "a..b", "bücher.example", ""] {
        let reply = reply_over_tcp(front.addr, [&*hello(name)]).await;
        assert!(matches!(reply, Reply::Alert(47 | 50)), "{name}: {reply:?}");
    }
}

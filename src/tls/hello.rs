//! The part of a client's hello that rustls does not expose: the groups with a key share
//! (RFC 8446, section 4.2.8).

use rustls::NamedGroup;

/// The maximum number of bytes of a hello that are examined. Real ones, with a
/// post-quantum key share and an encrypted name, have about 3,000.
const HELLO_MAX: usize = 16 * 1024;

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: usize = 1;
const SUPPORTED_GROUPS: usize = 10;
const SUPPORTED_VERSIONS: usize = 43;
const KEY_SHARE: usize = 51;
const TLS13: usize = 0x0304;

/// The first bytes of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// More bytes are needed.
    Partial,
    /// The groups with a key share, in the client's order of groups. Empty for a client
    /// without TLS 1.3, and for data that is not a hello.
    Whole(Vec<NamedGroup>),
}

impl Hello {
    /// Parses the bytes received so far.
    pub(super) fn read(received: &[u8]) -> Self {
        match HandshakeMessage::read(received) {
            HandshakeMessage::Partial if received.len() < HELLO_MAX => Self::Partial,
            HandshakeMessage::Partial | HandshakeMessage::Other => Self::Whole(Vec::new()),
            HandshakeMessage::Hello(body) => Self::Whole(shared_groups(&body).unwrap_or_default()),
        }
    }
}

/// The first message of a handshake.
enum HandshakeMessage {
    Partial,
    Hello(Vec<u8>),
    /// Any other message, or one that is too long.
    Other,
}

impl HandshakeMessage {
    /// Reassembles the message, which may span any number of records.
    fn read(received: &[u8]) -> Self {
        let mut records = Reader(received);
        let mut message = Vec::new();
        loop {
            match records.0.first() {
                None => return Self::Partial,
                Some(&HANDSHAKE_RECORD) => {}
                Some(_) => return Self::Other,
            }
            let Some(fragment) = records.record() else {
                return Self::Partial;
            };
            message.extend_from_slice(fragment);
            let mut reader = Reader(&message);
            if let (Some(kind), Some(length)) = (reader.number(1), reader.number(3)) {
                if kind != CLIENT_HELLO || length > HELLO_MAX {
                    return Self::Other;
                }
                if let Some(body) = reader.take(length) {
                    return Self::Hello(body.to_vec());
                }
            }
        }
    }
}

/// The groups with a key share; `None` if the client does not offer TLS 1.3, or the body
/// is invalid.
fn shared_groups(body: &[u8]) -> Option<Vec<NamedGroup>> {
    let mut hello = Reader(body);
    // Skip the legacy version and the random bytes.
    hello.take(2 + 32)?;
    let _session_id = hello.list(1)?;
    let _cipher_suites = hello.list(2)?;
    let _compression_methods = hello.list(1)?;
    let mut extensions = hello.list(2)?;
    let (mut groups, mut shared, mut has_tls13) = (Vec::new(), Vec::new(), false);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut extension = extensions.list(2)?;
        match kind {
            SUPPORTED_GROUPS => groups = extension.list(2)?.numbers(),
            SUPPORTED_VERSIONS => has_tls13 = extension.list(1)?.numbers().contains(&TLS13),
            KEY_SHARE => shared = extension.list(2)?.shares()?,
            _ => {}
        }
    }
    groups.retain(|group| shared.contains(group));
    has_tls13.then(|| groups.into_iter().filter_map(named).collect())
}

fn named(group: usize) -> Option<NamedGroup> {
    u16::try_from(group).ok().map(NamedGroup::from)
}

/// A reader of the remaining bytes; its methods return `None` if there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }

    /// A big-endian number of this many bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?.iter();
        Some(bytes.fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// A list preceded by its length, a number of this many bytes.
    fn list(&mut self, length: usize) -> Option<Self> {
        let length = self.number(length)?;
        self.take(length).map(Self)
    }

    /// The content of a record.
    fn record(&mut self) -> Option<&'a [u8]> {
        // Skip the type and the legacy version.
        self.take(1 + 2)?;
        self.list(2).map(|content| content.0)
    }

    fn numbers(mut self) -> Vec<usize> {
        std::iter::from_fn(|| self.number(2)).collect()
    }

    /// The groups of the key shares.
    fn shares(mut self) -> Option<Vec<usize>> {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            groups.push(self.number(2)?);
            let _share = self.list(2)?;
        }
        Some(groups)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, version};

    use super::*;

    /// The hello of a rustls client with these versions.
    fn hello(versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
        let provider: CryptoProvider = aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = "broker.example".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    /// The same message, split into records of this length.
    fn in_records_of(length: usize, hello: &[u8]) -> Vec<u8> {
        let records = hello[5..].chunks(length).flat_map(|fragment| {
            let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
            [&[22, 3, 1][..], &length, fragment].concat()
        });
        records.collect()
    }

    fn shares() -> Vec<NamedGroup> {
        let Hello::Whole(shares) = Hello::read(&hello(&[&version::TLS13])) else {
            panic!("a whole hello is not partial");
        };
        shares
    }

    #[test]
    fn the_shares_of_a_client_are_read() {
        assert!(shares().contains(&NamedGroup::X25519));
        let both = hello(&[&version::TLS13, &version::TLS12]);
        assert_eq!(Hello::read(&both), Hello::Whole(shares()));
        let tls12 = hello(&[&version::TLS12]);
        assert_eq!(Hello::read(&tls12), Hello::Whole(Vec::new()));
    }

    #[test]
    fn a_hello_is_partial_until_its_last_byte() {
        let hello = hello(&[&version::TLS13]);
        for hello in [hello.clone(), in_records_of(7, &hello)] {
            for length in 0..hello.len() {
                assert_eq!(Hello::read(&hello[..length]), Hello::Partial, "{length}");
            }
            assert_eq!(Hello::read(&hello), Hello::Whole(shares()));
        }
    }

    #[test]
    fn what_is_no_hello_is_not_waited_for() {
        let other = [
            &b"GET / HTTP/1.1\r\n"[..],
            &[23],
            &[22, 3, 1, 0, 4, 2, 0, 0, 0],
            // Longer than any hello.
            &[22, 3, 1, 0, 4, 1, 1, 0, 0],
        ];
        for bytes in other {
            assert_eq!(Hello::read(bytes), Hello::Whole(Vec::new()), "{bytes:?}");
        }
        let mut endless = [22, 3, 1, 255, 255].to_vec();
        endless.resize(HELLO_MAX, 0);
        assert_eq!(Hello::read(&endless), Hello::Whole(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..9)
        ) {
            let mut hello = hello(&[&version::TLS13]);
            for (at, byte) in damage {
                let at = at.index(hello.len());
                hello[at] = byte;
            }
            Hello::read(&hello);
        }
    }
}

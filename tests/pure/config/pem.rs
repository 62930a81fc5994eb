//! Invalid files of certificates and keys: the error names the file and shows nothing of
//! its content.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::program::{Broker, Ran};

/// A root, an intermediate, and a server's certificate with its key, all PEM.
struct Chain {
    root: String,
    intermediate: String,
    own: String,
    key: KeyPair,
}

impl Chain {
    fn new() -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority("root"), key()).expect("a root");
        let intermediate = CertifiedIssuer::signed_by(authority("intermediate"), key(), &root);
        let intermediate = intermediate.expect("an intermediate");
        let key = key();
        let own = server()
            .signed_by(&key, &intermediate)
            .expect("a certificate");
        Self {
            root: root.pem(),
            intermediate: intermediate.pem(),
            own: own.pem(),
            key,
        }
    }
}

fn server() -> CertificateParams {
    CertificateParams::new(["broker.example".to_owned()]).expect("a name")
}

fn check(cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Ran {
    let broker = Broker::new("check-config -cert c.pem -key k.pem -disable-geoip");
    fs::write(broker.path("c.pem"), cert).expect("a writable directory");
    fs::write(broker.path("k.pem"), key).expect("a writable directory");
    broker.run()
}

/// A certificate with this validity.
fn valid(from: i32, until: i32) -> Ran {
    let key = KeyPair::generate().expect("a key");
    let mut params = server();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let cert = params.self_signed(&key).expect("a certificate");
    check(cert.pem(), key.serialize_pem())
}

/// Refused with one line besides warnings, which begins like this and does not contain
/// the secret.
#[track_caller]
fn refused(ran: &Ran, beginning: &str, secret: &str) {
    let lines: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| !line.starts_with("warning: "))
        .collect();
    assert_eq!((ran.code, lines.len()), (2, 1), "{}", ran.stderr);
    assert!(lines[0].starts_with(beginning), "{}", ran.stderr);
    let lines = secret.split(|c: char| !c.is_ascii_alphanumeric());
    for part in lines.filter(|part| part.len() > 12) {
        assert!(!ran.stderr.contains(part), "{}", ran.stderr);
    }
    // Bytes as numbers, in Rust's notation.
    assert!(!ran.stderr.contains(", 45, "), "{}", ran.stderr);
}

/// Accepted, with a warning in one line.
#[track_caller]
fn warned(ran: &Ran, parts: &[&str]) {
    ran.ok();
    let beginning = "warning: tls.cert: c.pem: ";
    let about: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with(beginning))
        .collect();
    assert_eq!(about.len(), 1, "{}", ran.stderr);
    for part in parts {
        assert!(about[0].contains(part), "{}", ran.stderr);
    }
}

#[test]
fn no_fault_of_a_file_shows_its_content() {
    let Chain { own, key, .. } = Chain::new();
    let secret = key.serialize_pem();
    let of_key = |key: &str| check(&own, key);
    for (ran, words) in [
        (
            of_key(&secret.replace('\n', " ")),
            "has lost its line breaks",
        ),
        (
            of_key(&secret.replace('\n', "\\n")),
            "has lost its line breaks",
        ),
        (
            of_key(&format!("\u{feff}{secret}")),
            "begins with a byte order mark",
        ),
        (of_key(&secret[..secret.len() / 2]), "is cut off"),
        (
            of_key(&secret.replace("BEGIN PRIVATE KEY-----", "BEGIN PRIVATE KEY---")),
            "is damaged",
        ),
        (
            of_key(&secret.replace("END PRIVATE", "END RSA PRIVATE")),
            "is damaged",
        ),
        (of_key(&secret.replacen('M', "\u{e9}", 1)), "is damaged"),
        (
            of_key(&secret.replace("PRIVATE", "ENCRYPTED PRIVATE")),
            "has an encrypted private key",
        ),
        (
            of_key(&secret.replace("PRIVATE KEY", "FOREIGN THING")),
            "has no private key",
        ),
        (of_key(""), "is empty"),
        (
            check(&own, key.serialize_der()),
            "must be PEM, and is binary (DER",
        ),
    ] {
        refused(&ran, &format!("tls.key: k.pem: {words}"), &secret);
    }
    let of_cert = |cert: &str| check(cert, &secret);
    for (ran, words) in [
        (of_cert(&own.replace('\n', " ")), "has lost its line breaks"),
        (of_cert(&own[..own.len() - 10]), "is cut off"),
        (
            of_cert(&secret),
            "has a private key in it instead of a certificate",
        ),
        (
            of_cert(&own.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
            "has a certificate in it that does not begin with",
        ),
    ] {
        refused(
            &ran,
            &format!("tls.cert: c.pem: {words}"),
            &format!("{secret}{own}"),
        );
    }
}

/// An operator may set `tls.key` to the content of the file instead of its path.
#[test]
fn a_key_instead_of_its_path_is_not_shown() {
    let secret = KeyPair::generate().expect("a key").serialize_pem();
    let text = secret.trim();
    let stray = Broker::with_pair("check-config -cert c.pem").arg(text);
    let culprit = "an argument must be the path of a file";
    refused(&stray.run(), culprit, &secret);
    for broker in [
        Broker::with_pair("check-config -cert c.pem")
            .arg("-key")
            .arg(text),
        Broker::with_pair("check-config -cert c.pem").env("SNOWFLAKE_BROKER_TLS__KEY", text),
        Broker::with_pair("print-config -cert c.pem").env("SNOWFLAKE_BROKER_TLS__KEY", text),
    ] {
        let ran = broker.run();
        refused(&ran, "tls.key: must be the path of a file", &secret);
        assert!(
            ran.stderr.contains("(got (a PEM text, not shown), "),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn certificates_that_are_joined_without_a_line_break_are_all_read() {
    let Chain {
        root,
        intermediate,
        own,
        key,
    } = Chain::new();
    let key = key.serialize_pem();
    for joined in [
        format!("{own}{intermediate}"),
        format!("{}{intermediate}", own.trim_end()),
        format!(
            "{}{}{}",
            own.trim_end(),
            intermediate.trim_end(),
            root.trim_end()
        ),
    ] {
        let ran = check(&joined, &key);
        ran.ok();
        assert!(!ran.stderr.contains("tls.cert"), "{}", ran.stderr);
    }
    // The same for authorities.
    let both = format!("{}{intermediate}", root.trim_end());
    let broker = Broker::with_pair("check-config -disable-tls -disable-geoip")
        .env("SNOWFLAKE_BROKER_ADMIN__LISTEN", "127.0.0.1:1")
        .env("SNOWFLAKE_BROKER_ADMIN__TLS__CERT", "c.pem")
        .env("SNOWFLAKE_BROKER_ADMIN__TLS__KEY", "k.pem")
        .env("SNOWFLAKE_BROKER_ADMIN__TLS__OPERATORS", "alice.example")
        .env("SNOWFLAKE_BROKER_ADMIN__TLS__CLIENT_CA", "ca.pem");
    broker.write(
        "ca.pem",
        &both.replace("\n-----END CERTIFICATE-----\n", "\n"),
    );
    let ran = broker.run();
    refused(&ran, "admin.tls.client_ca: ca.pem: is cut off", &both);
}

#[test]
fn chains_that_clients_refuse_are_told() {
    let Chain {
        root,
        intermediate,
        own,
        key,
    } = Chain::new();
    let key = key.serialize_pem();
    warned(&check(&own, &key), &["has no intermediate certificate"]);
    let gap = check(format!("{own}{root}"), &key);
    warned(
        &gap,
        &[
            "is not a chain",
            "certificate 2 in it is not the issuer of certificate 1",
        ],
    );
    let order = check(format!("{own}{root}{intermediate}"), &key);
    warned(&order, &["is in the wrong order"]);
    let reversed = check(format!("{intermediate}{own}"), &key);
    let culprit = "tls.cert: c.pem: is in the wrong order: certificate 2";
    refused(&reversed, culprit, &key);
}

#[test]
fn certificates_out_of_their_time_are_told() {
    warned(&valid(2000, 2001), &["expired on 2001-01-01T00:00:00Z"]);
    warned(
        &valid(2500, 2501),
        &["is not valid before 2500-01-01T00:00:00Z"],
    );
    let ran = valid(2000, 2500);
    ran.ok();
    assert!(!ran.stderr.contains("tls.cert"), "{}", ran.stderr);
}

#[test]
fn kinds_that_browsers_do_not_take_are_told() {
    for (algorithm, name) in [
        (&rcgen::PKCS_ED25519, "Ed25519"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "P-521"),
    ] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let cert = server().self_signed(&key).expect("a certificate");
        warned(&check(cert.pem(), key.serialize_pem()), &[name, "browsers"]);
    }
}

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

use super::*;

/// Certificates with a short RSA key and an old version, made with `openssl req -x509`.
const SHORT_RSA: &str = include_str!("tests/rsa1024.pem");
const VERSION_1: &str = include_str!("tests/version1.pem");

fn pair() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

fn error(cert: &str, key: &str) -> InvalidCertificate {
    Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn the_validity_of_the_first_certificate_is_told() {
    let key = KeyPair::generate().unwrap();
    let of_years = |from, until| {
        let names = ["broker.example".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&key).unwrap().pem()
    };
    let chain = of_years(2026, 2027) + &of_years(2000, 2001);
    let certificate =
        Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let expected = Validity {
        from: at(1_767_225_600),
        until: at(1_798_761_600),
    };
    assert_eq!(certificate.validity(), expected);
}

#[test]
fn the_culprit_is_told() {
    let (cert, key) = pair();
    let (_, other) = pair();
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = rubbish.replace("CERTIFICATE", "PRIVATE KEY");
    let invalid = InvalidCertificate::Chain;
    for (cert, key, expected) in [
        ("", &*key, invalid(Fault::Empty)),
        (&*key, &key, invalid(Fault::KeyForCertificate)),
        (rubbish, &key, InvalidCertificate::Damaged(1)),
        (
            &format!("{cert}{rubbish}"),
            &key,
            InvalidCertificate::Damaged(2),
        ),
        (&cert, "", InvalidCertificate::Key(Fault::Empty)),
        (
            &cert,
            &cert,
            InvalidCertificate::Key(Fault::CertificateForKey),
        ),
        (&cert, &other, InvalidCertificate::Mismatch),
        (&cert, &no_key, InvalidCertificate::UnusableKey),
        (SHORT_RSA, SHORT_RSA, InvalidCertificate::ShortKey(1024)),
        (VERSION_1, VERSION_1, InvalidCertificate::Version),
    ] {
        assert_eq!(error(cert, key), expected);
    }
}

#[test]
fn a_chain_whose_first_is_not_the_servers_is_in_the_wrong_order() {
    let (mut params, issuer_key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = params.self_signed(&issuer_key).unwrap().pem();
    let (cert, key) = pair();
    assert_eq!(error(&(issuer + &cert), &key), InvalidCertificate::Order(2));
}

#[test]
fn the_setting_and_the_file_are_named() {
    let named = |error: InvalidCertificate| {
        error.in_files(
            ("tls.cert", "c.pem".as_ref()),
            ("tls.key", "k.pem".as_ref()),
        )
    };
    let chain = named(InvalidCertificate::Chain(Fault::NoCertificate));
    assert_eq!(chain, "tls.cert: c.pem: has no certificate in it");
    let key = named(InvalidCertificate::Key(Fault::NoKey));
    assert_eq!(key, "tls.key: k.pem: has no private key in it");
    assert_eq!(
        named(InvalidCertificate::Mismatch),
        "tls.key: k.pem: is not the key of the certificate in tls.cert, c.pem"
    );
}

/// Valid certificates rank the same: the operator has a reason for the new one.
#[test]
fn the_better_of_two_is_the_one_that_clients_take() {
    let validity = |from, until| Validity {
        from: at(from),
        until: at(until),
    };
    // From best to worst, at time 100.
    let classes = [
        &[validity(0, 101), validity(50, 10_000), validity(100, 100)][..],
        &[validity(101, 200), validity(1_000, 2_000)],
        &[validity(0, 99)],
        &[validity(50, 98)],
    ];
    for (rank, class) in classes.iter().enumerate() {
        for (other_rank, others) in classes.iter().enumerate() {
            for (one, other) in class
                .iter()
                .flat_map(|one| others.iter().map(move |o| (one, o)))
            {
                let is_better = one.is_better_than(*other, at(100));
                assert_eq!(is_better, rank < other_rank, "{one:?} {other:?}");
            }
        }
    }
}

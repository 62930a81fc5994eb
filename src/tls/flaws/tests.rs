use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, SignatureAlgorithm, date_time_ymd,
};

use super::*;
use crate::tls::Certificate;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
}

fn server() -> CertificateParams {
    let mut params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server");
    params
}

/// The flaws of a server certificate issued by `issuer` or self-signed, with others after
/// it.
fn flaws(
    params: &CertificateParams,
    key: &KeyPair,
    issuer: Option<&Issuer>,
    rest: &str,
) -> Vec<Flaw> {
    let own = match issuer {
        Some(issuer) => params.signed_by(key, issuer),
        None => params.self_signed(key),
    };
    let chain = own.unwrap().pem() + rest;
    let certificate = Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes());
    certificate.unwrap().flaws(date_time_ymd(2026, 1, 1).into())
}

fn by(issuer: &Issuer, rest: &[&Issuer]) -> Vec<Flaw> {
    let rest: String = rest.iter().map(|issuer| issuer.pem()).collect();
    flaws(
        &server(),
        &KeyPair::generate().unwrap(),
        Some(issuer),
        &rest,
    )
}

fn of_key(algorithm: &'static SignatureAlgorithm) -> Vec<Flaw> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    flaws(&server(), &key, None, "")
}

#[test]
fn a_chain_has_to_be_one() {
    let root = root("root");
    let key = KeyPair::generate().unwrap();
    let first = CertifiedIssuer::signed_by(authority("first"), key, &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let second = CertifiedIssuer::signed_by(authority("second"), key, &first).unwrap();
    assert_eq!(by(&second, &[&second, &first, &root]), []);
    assert_eq!(by(&second, &[&second, &first]), []);
    assert_eq!(by(&second, &[&second]), []);
    assert_eq!(by(&second, &[]), [Flaw::Alone]);
    assert_eq!(by(&second, &[&first, &second]), [Flaw::Order(1)]);
    assert_eq!(by(&second, &[&second, &root, &first]), [Flaw::Order(2)]);
    assert_eq!(by(&second, &[&second, &root]), [Flaw::Gap(2)]);
    assert_eq!(by(&second, &[&first]), [Flaw::Gap(1)]);
    let namesake = super::tests::root("root");
    assert_eq!(by(&root, &[&root]), []);
    assert_eq!(by(&root, &[&namesake]), [Flaw::Signatures]);
}

/// For old clients, some chains end with an expired certificate.
#[test]
fn only_the_servers_own_certificate_has_to_be_valid() {
    let mut params = authority("old");
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
    let old = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    assert_eq!(by(&old, &[&old]), []);
}

#[test]
fn times_are_told() {
    let until = |year, month, day| {
        let mut params = server();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        flaws(&params, &KeyPair::generate().unwrap(), None, "")
    };
    assert_eq!(until(2026, 1, 9), []);
    let soon = SystemTime::from(date_time_ymd(2026, 1, 7));
    assert_eq!(until(2026, 1, 7), [Flaw::EndsSoon(soon)]);
    assert_eq!(
        Flaw::EndsSoon(soon).to_string(),
        "expires on 2026-01-07T00:00:00Z, in less than 7 days: renew it"
    );
    let past = date_time_ymd(2025, 12, 31).into();
    assert_eq!(until(2025, 12, 31), [Flaw::Expired(past)]);
    let mut later = server();
    later.not_before = date_time_ymd(2027, 1, 1);
    let flaws = flaws(&later, &KeyPair::generate().unwrap(), None, "");
    assert_eq!(flaws, [Flaw::NotYetValid(date_time_ymd(2027, 1, 1).into())]);
}

#[test]
fn kinds_that_browsers_do_not_know_are_told() {
    assert_eq!(of_key(&PKCS_ED25519), [Flaw::Key("Ed25519")]);
    assert_eq!(of_key(&PKCS_ECDSA_P521_SHA512), [Flaw::Key("P-521")]);
    for known in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
    ] {
        assert_eq!(of_key(known), []);
    }
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let odd = CertifiedIssuer::self_signed(authority("odd"), key).unwrap();
    assert_eq!(by(&odd, &[&odd]), [Flaw::Signature(1, "Ed25519")]);
}

/// Made with `openssl`, since other tools no longer make such certificates.
#[test]
fn signatures_with_sha1_are_told() {
    let file = include_bytes!("tests/sha1.pem");
    let certificate = Certificate::from_pem(file, file).unwrap();
    let flaws = certificate.flaws(date_time_ymd(2026, 12, 1).into());
    assert_eq!(flaws, [Flaw::Signature(1, "SHA-1")]);
}

#[test]
fn what_a_certificate_is_for_is_told() {
    let key = KeyPair::generate().unwrap();
    let mut params = server();
    params.subject_alt_names = Vec::new();
    assert_eq!(flaws(&params, &key, None, ""), [Flaw::NoNames]);
    let mut params = server();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(flaws(&params, &key, None, ""), [Flaw::Purpose]);
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(flaws(&params, &key, None, ""), []);
}

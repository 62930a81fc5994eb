use proptest::prelude::*;
use rcgen::KeyPair;

use super::*;

fn pair() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

fn fault_of_chain(text: impl AsRef<[u8]>) -> Fault {
    certificates(text.as_ref()).unwrap_err()
}

fn fault_of_key(text: impl AsRef<[u8]>) -> Fault {
    private_key(text.as_ref()).unwrap_err()
}

#[test]
fn every_certificate_is_read_however_they_are_joined() {
    let chain = [pair().0, pair().0, pair().0];
    let [first, second, third] = chain.each_ref().map(|pem| pem.trim_end());
    let expected: Vec<_> = chain
        .iter()
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .collect();
    for joined in [
        format!("{first}\n{second}\n{third}\n"),
        // The output of `cat` for files without a final line break.
        format!("{first}{second}{third}"),
        format!("{first} {second}\t{third}"),
        format!("{first}\n{second}\n{third}").replace('\n', "\r\n"),
        format!("{first}\n{second}\n{third}").replace('\n', "\r"),
        format!("a note\n  {first}\nsubject=CN = \u{e9}\n{second}\n# {third}"),
        format!("{first}\n{}{second}{third}", pair().1),
    ] {
        assert_eq!(
            certificates(joined.as_bytes()).unwrap(),
            expected,
            "{joined}"
        );
        let lines = in_lines(joined.as_bytes()).unwrap();
        let by_lines: Vec<_> = CertificateDer::pem_slice_iter(&lines)
            .map(Result::unwrap)
            .collect();
        assert_eq!(by_lines, expected, "{joined}");
    }
}

/// A lost BEGIN line must not silently drop a certificate.
#[test]
fn what_ends_has_to_begin() {
    let (cert, key) = pair();
    let begin = "-----BEGIN CERTIFICATE-----\n";
    for other in [
        "",
        "----BEGIN CERTIFICATE-----\n",
        "-----begin certificate-----\n",
    ] {
        let headless = pair().0.replacen(begin, other, 1);
        for text in [
            headless.clone(),
            format!("{headless}{cert}"),
            format!("{cert}{headless}"),
            format!("{cert}{headless}{cert}"),
            format!("{cert}{key}{headless}"),
        ] {
            assert_eq!(fault_of_chain(&text), Fault::Damaged, "{text}");
        }
    }
    let (_, headless) = key.split_once('\n').expect("lines");
    assert_eq!(fault_of_key(headless), Fault::Damaged);
}

#[test]
fn a_key_is_found_among_other_things() {
    let (cert, key) = pair();
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let expected = private_key(key.as_bytes()).unwrap();
    for text in [
        format!("{cert}{key}"),
        format!("{parameters}{}", key.trim_end()),
        format!("{}{key}", cert.trim_end()),
        key.replace('\n', "\r\n"),
    ] {
        assert_eq!(private_key(text.as_bytes()).unwrap(), expected);
    }
}

#[test]
fn each_fault_has_its_words() {
    let (cert, key) = pair();
    let relabelled = |label: &str| cert.replace("CERTIFICATE", label);
    for (text, fault) in [
        (String::new(), Fault::Empty),
        (" \n".to_owned(), Fault::Empty),
        ("a note".to_owned(), Fault::NoCertificate),
        (format!("\u{feff}{cert}"), Fault::ByteOrderMark),
        (key.clone(), Fault::KeyForCertificate),
        (relabelled("TRUSTED CERTIFICATE"), Fault::OtherCertificate),
        (
            format!("{cert}{}", relabelled("X509 CERTIFICATE")),
            Fault::OtherCertificate,
        ),
        (relabelled("PKCS7"), Fault::OtherCertificate),
        (relabelled("CERTIFICATE REQUEST"), Fault::Request),
        (relabelled("NEW CERTIFICATE REQUEST"), Fault::Request),
        (cert.replace('\n', " "), Fault::NoLineBreaks),
        (cert.replace('\n', ""), Fault::NoLineBreaks),
        (cert.replace('M', "!"), Fault::Damaged),
        (cert.replace("END CERTIFICATE", "END X"), Fault::Damaged),
        (
            cert.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE"),
            Fault::Damaged,
        ),
        (cert.replace("-----END", ""), Fault::CutOff),
        (
            format!("{}{cert}", cert.replace("-----END CERTIFICATE-----", "")),
            Fault::CutOff,
        ),
    ] {
        assert_eq!(fault_of_chain(&text), fault, "{text}");
    }
    for (text, fault) in [
        (String::new(), Fault::Empty),
        ("a note".to_owned(), Fault::NoKey),
        (cert.clone(), Fault::CertificateForKey),
        (
            key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            Fault::Encrypted,
        ),
        (key.replace("PRIVATE", "OPENSSH PRIVATE"), Fault::OtherKey),
        (key.replace("PRIVATE", "DSA PRIVATE"), Fault::OtherKey),
        (key.replace('\n', " "), Fault::NoLineBreaks),
        (key.replace('M', "!"), Fault::Damaged),
        (key.replace("-----END", ""), Fault::CutOff),
    ] {
        assert_eq!(fault_of_key(&text), fault, "{text}");
    }
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
        DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(fault_of_key(traditional), Fault::Encrypted);
}

#[test]
fn binary_files_are_told_from_texts() {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    assert_eq!(fault_of_chain(pair.cert.der()), Fault::Binary);
    assert_eq!(
        fault_of_key(pair.signing_key.serialize_der()),
        Fault::Binary
    );
    let wide: Vec<u8> = pair
        .cert
        .pem()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        fault_of_chain([b"\xff\xfe", &*wide].concat()),
        Fault::ByteOrderMark
    );
    assert_eq!(fault_of_chain(wide), Fault::Binary);
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let (first, second) = (pair().0, pair().0);
    let whole = format!("{first}{second}");
    let end = first.trim_end().len();
    for length in 1..whole.trim_end().len() {
        // A file that ends after a complete certificate is complete.
        let is_whole = (end..=first.len()).contains(&length);
        let read = certificates(&whole.as_bytes()[..length]);
        let fault = (!is_whole).then_some(Fault::CutOff);
        assert_eq!(read.err(), fault, "{}", &whole[..length]);
    }
}

proptest! {
    /// Checks the errors and their forms in the log.
    #[test]
    fn no_fault_quotes_the_file(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..5)
    ) {
        let mut text: Vec<char> = KeyPair::generate().unwrap().serialize_pem().chars().collect();
        for (at, c) in damage {
            let at = at.index(text.len());
            text[at] = c;
        }
        let text: String = text.into_iter().collect();
        if let Err(fault) = private_key(text.as_bytes()) {
            let said = format!("{fault} {fault:?}");
            let words = text.split(|c: char| !c.is_ascii_alphanumeric());
            for word in words.filter(|word| word.len() > 7) {
                prop_assert!(!said.contains(word), "{said}");
            }
        }
    }
}

//! PEM parsing (RFC 7468). rustls's parser is not used, since it skips what it does not
//! understand and quotes lines of the file in its errors: only clients would notice a
//! skipped certificate, and the quoted lines may belong to a key.

use memchr::memmem;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The maximum length of a label, in bytes.
const LABEL_MAX: usize = 40;

/// Labels of certificates in forms that TLS does not use.
const OTHER_CERTIFICATES: [&[u8]; 4] = [
    b"TRUSTED CERTIFICATE",
    b"X509 CERTIFICATE",
    b"PKCS7",
    b"CMS",
];

/// The fault of a file. The message contains nothing from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file is empty.
    #[error("is empty")]
    Empty,
    /// The file is a certificate, a key or both in binary form.
    #[error(
        "must be PEM, and is binary (DER, or PKCS #12 as in .pfx and .p12 files): convert it with \
         `openssl x509 -inform DER`, `openssl pkey -inform DER` or `openssl pkcs12 -nodes`"
    )]
    Binary,
    /// The file begins with a byte order mark, as some editors write.
    #[error("begins with a byte order mark: save it as plain text without one")]
    ByteOrderMark,
    /// The file is truncated.
    #[error("is cut off: a -----BEGIN line has no -----END line")]
    CutOff,
    /// The line breaks were replaced with blanks or removed.
    #[error("has lost its line breaks: -----BEGIN ...----- must be a line of its own")]
    NoLineBreaks,
    /// The lines of a section do not match, or their content is not base64.
    #[error("is damaged: a -----BEGIN line, its -----END line or the base64 between them is wrong")]
    Damaged,
    /// The file has no certificate.
    #[error("has no certificate in it")]
    NoCertificate,
    /// The file has a key instead of a certificate.
    #[error("has a private key in it instead of a certificate")]
    KeyForCertificate,
    /// A certificate is in another form.
    #[error(
        "has a certificate in it that does not begin with -----BEGIN CERTIFICATE-----, the form \
         that TLS uses: convert it with `openssl x509` or `openssl pkcs7 -print_certs`"
    )]
    OtherCertificate,
    /// The file is a certificate request.
    #[error("is a certificate request, not a certificate")]
    Request,
    /// The file has no private key.
    #[error("has no private key in it")]
    NoKey,
    /// The file has a certificate instead of a key.
    #[error("has a certificate in it instead of a private key")]
    CertificateForKey,
    /// The key needs a pass phrase.
    #[error(
        "has an encrypted private key, and nobody can type its pass phrase at the start: decrypt \
         it with `openssl pkey`"
    )]
    Encrypted,
    /// The key is of OpenSSH or of an obsolete algorithm.
    #[error("has a private key of a kind that TLS does not use")]
    OtherKey,
}

/// The certificates in a text, at least one. Keys and parameters may be among them.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let sections = sections(text)?;
    let has = |label: &[u8]| sections.iter().any(|section| section.is_of(label));
    if sections
        .iter()
        .any(|section| OTHER_CERTIFICATES.contains(&section.label))
    {
        return Err(Fault::OtherCertificate);
    }
    let certificates: Vec<_> = sections
        .iter()
        .filter(|section| section.label == b"CERTIFICATE")
        .map(|section| CertificateDer::from_pem_slice(&section.text()).map_err(|_| Fault::Damaged))
        .collect::<Result<_, _>>()?;
    if !certificates.is_empty() {
        Ok(certificates)
    } else if has(b"CERTIFICATE REQUEST") {
        Err(Fault::Request)
    } else if has(b"PRIVATE KEY") {
        Err(Fault::KeyForCertificate)
    } else {
        Err(Fault::NoCertificate)
    }
}

/// The first private key in a text. Certificates and parameters may be there, too.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let sections = sections(text)?;
    let Some(key) = sections
        .iter()
        .find(|section| section.is_of(b"PRIVATE KEY"))
    else {
        let is_certificate = sections.iter().any(|section| section.is_of(b"CERTIFICATE"));
        return Err(if is_certificate {
            Fault::CertificateForKey
        } else {
            Fault::NoKey
        });
    };
    if key.label == b"ENCRYPTED PRIVATE KEY" || key.has(b"ENCRYPTED") {
        return Err(Fault::Encrypted);
    }
    if ![&b"PRIVATE KEY"[..], b"RSA PRIVATE KEY", b"EC PRIVATE KEY"].contains(&key.label) {
        return Err(Fault::OtherKey);
    }
    PrivateKeyDer::from_pem_slice(&key.text()).map_err(|_| Fault::Damaged)
}

/// The same text with each section on separate lines, for parsers that read lines.
pub fn in_lines(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let sections = sections(text)?;
    Ok(sections.iter().flat_map(PemSection::text).collect())
}

/// A section: the text between a BEGIN and an END line.
struct PemSection<'a> {
    label: &'a [u8],
    body: &'a [u8],
}

impl PemSection<'_> {
    fn is_of(&self, part: &[u8]) -> bool {
        self.label.ends_with(part)
    }

    fn has(&self, text: &[u8]) -> bool {
        memmem::find(self.body, text).is_some()
    }

    fn text(&self) -> Vec<u8> {
        let Self { label, body } = self;
        [
            BEGIN, label, DASHES, b"\n", body, b"\n", END, label, DASHES, b"\n",
        ]
        .concat()
    }
}

/// All sections, wherever in a line they begin: `cat` joins files without a final line
/// break.
fn sections(text: &[u8]) -> Result<Vec<PemSection<'_>>, Fault> {
    check_encoding(text)?;
    let mut sections = Vec::new();
    let mut rest = text;
    while let Some((passed_over, begun)) = split(rest, BEGIN) {
        check_passed_over(passed_over)?;
        let (label, begun) = split(begun, DASHES).ok_or(Fault::CutOff)?;
        if label.len() > LABEL_MAX || label.contains(&b'\n') {
            return Err(Fault::Damaged);
        }
        if !begins_with_line_break(begun) {
            return Err(Fault::NoLineBreaks);
        }
        let end = [END, label, DASHES].concat();
        let body_len = memmem::find(begun, DASHES).ok_or(Fault::CutOff)?;
        let (body, after) = begun.split_at(body_len);
        let is_another = after.starts_with(END) && !end.starts_with(after.trim_ascii_end());
        let fault = if is_another {
            Fault::Damaged
        } else {
            Fault::CutOff
        };
        rest = after.strip_prefix(&*end).ok_or(fault)?;
        sections.push(PemSection { label, body });
    }
    if is_begun(rest) {
        return Err(Fault::CutOff);
    }
    check_passed_over(rest)?;
    Ok(sections)
}

/// Checks the text between sections, which may be anything except an END line.
fn check_passed_over(text: &[u8]) -> Result<(), Fault> {
    match memmem::find(text, END) {
        Some(_) => Err(Fault::Damaged),
        None => Ok(()),
    }
}

fn check_encoding(text: &[u8]) -> Result<(), Fault> {
    const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    let has_sections = memmem::find(text, BEGIN).is_some();
    if MARKS.iter().any(|mark| text.starts_with(mark)) {
        Err(Fault::ByteOrderMark)
    } else if text.trim_ascii().is_empty() {
        Err(Fault::Empty)
    } else if !has_sections
        && text
            .iter()
            .any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
    {
        Err(Fault::Binary)
    } else {
        Ok(())
    }
}

/// The parts of a text before and after `at`.
fn split<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let position = memmem::find(text, at)?;
    Some((&text[..position], &text[position + at.len()..]))
}

fn begins_with_line_break(text: &[u8]) -> bool {
    let mut after_blanks = text.iter().filter(|byte| !matches!(byte, b' ' | b'\t'));
    matches!(after_blanks.next(), None | Some(b'\n' | b'\r'))
}

/// Returns true if a text ends within the BEGIN line of a section.
fn is_begun(text: &[u8]) -> bool {
    let last_line = text
        .rsplit(|byte| matches!(byte, b'\n' | b'\r'))
        .next()
        .unwrap_or_default()
        .trim_ascii_start();
    !last_line.is_empty() && BEGIN.starts_with(last_line)
}

#[cfg(test)]
mod tests;

//! Settings of ACME.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::authority::check_directory;
use crate::host_port::{self, is_address, is_dns_name};
use crate::report::SettingsReport;

/// The names to order a certificate for, and the authority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The host names; an empty list turns ACME off.
    pub hostnames: Vec<String>,
    /// The contact address for messages from the certificate authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The directory for the account and the certificate.
    pub cert_cache: PathBuf,
    /// The URL of the certificate authority's directory (RFC 8555, section 7.1.1).
    pub directory: String,
    /// The PEM file with root certificates to trust for that URL instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// True to prove names by TLS-ALPN-01, on the broker's own port.
    pub tls_alpn: bool,
    /// The address and port for proving names by HTTP-01; empty turns it off.
    pub http_addr: String,
}

impl Settings {
    /// Reports mistakes.
    pub fn check(&self, report: &mut SettingsReport) {
        let problem = |name: &String| Some(format!("{name:?} {}", not_certifiable(name)?));
        report.refuse_if("hostnames", self.hostnames.iter().find_map(problem));
        report.refuse_if("directory", check_directory(&self.directory).err());
        // Optional paths are never empty: the empty string unsets them.
        if self.cert_cache == Path::new("") {
            report.refuse(&["cert_cache"], "must not be empty");
        }
        if !self.http_addr.is_empty() && !is_address(&self.http_addr) {
            let problem = format!("{}, or empty", host_port::EXPECTED);
            report.refuse(&["http_addr"], problem);
        }
        if self.email.as_deref().is_some_and(|email| !is_email(email)) {
            report.refuse(&["email"], "must be an email address");
        }
        if !self.hostnames.is_empty() && !self.tls_alpn && self.http_addr.is_empty() {
            report.refuse(
                &["http_addr", "tls_alpn", "hostnames"],
                "must not be empty while acme.tls_alpn is false: the host names could not be proven",
            );
        }
    }
}

fn is_email(text: &str) -> bool {
    text.contains('@') && !text.contains([' ', ',', ':', '?'])
}

/// The reason why a name cannot have a certificate.
fn not_certifiable(name: &str) -> Option<&'static str> {
    if name.parse::<IpAddr>().is_ok() {
        return Some("is an address, and must be a host name");
    }
    if name.contains('*') {
        return Some("has a wildcard, which cannot be proven over HTTP or TLS: name each host");
    }
    if !name.is_ascii() {
        return Some("must be written in ASCII, as xn--...");
    }
    (!is_dns_name(name)).then_some("is not a host name")
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostnames: Vec::new(),
            email: None,
            cert_cache: "acme-cert-cache".into(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca_file: None,
            tls_alpn: true,
            http_addr: ":80".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::not_certifiable;

    #[test]
    fn host_names_are_told_from_what_gets_no_certificate() {
        let long = format!("{}.example", "a".repeat(63));
        for name in [
            "a.example",
            "localhost",
            "xn--bcher-kva.example",
            "1.a-b.c2",
            &long,
        ] {
            assert_eq!(not_certifiable(name), None, "{name}");
        }
        let labels = [
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(62),
        ];
        for (name, why) in [
            ("192.0.2.1", "is an address"),
            ("2001:db8::1", "is an address"),
            ("*.a.example", "has a wildcard"),
            ("b\u{fc}cher.example", "in ASCII"),
            ("a.example.", "is not a host name"),
            ("a..example", "is not a host name"),
            ("a_b.example", "is not a host name"),
            ("-a.example", "is not a host name"),
            ("a-.example", "is not a host name"),
            ("a.example:443", "is not a host name"),
            ("https://a.example", "is not a host name"),
            ("1.2.3", "is not a host name"),
            ("", "is not a host name"),
            (&format!("a{long}"), "is not a host name"),
            (&labels.join("."), "is not a host name"),
        ] {
            let said = not_certifiable(name).unwrap_or_default();
            assert!(said.contains(why), "{name}: {said}");
        }
    }
}

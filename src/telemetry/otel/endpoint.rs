//! The endpoint of a collector and its headers, as written in settings.

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::InvalidUri;

use super::pairs;

/// The error for an endpoint or a list of headers.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The endpoint is not a URL.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// The URL has another scheme or no host.
    #[error("must be http://HOST:PORT or https://HOST:PORT")]
    Scheme,
    /// The list of headers is invalid. It is not shown, since it contains secrets.
    #[error("must be name=value,name=value, percent-encoded")]
    Headers,
    /// The header with this name cannot be sent.
    #[error("{0:?} or its value cannot be sent in a header")]
    Header(String),
    /// The machine has no readable certificate authorities.
    #[error("this machine has no certificate authorities")]
    NoAuthorities,
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Checks that `endpoint` is valid.
pub(super) fn check_endpoint(endpoint: &str) -> Result<(), InvalidEndpoint> {
    url(endpoint).map(drop)
}

/// Checks that `list` is a valid list of headers.
pub(super) fn check_headers(list: &str) -> Result<(), InvalidEndpoint> {
    headers(list).map(drop)
}

/// The URL of a collector.
pub(super) fn url(endpoint: &str) -> Result<Uri, InvalidEndpoint> {
    let uri: Uri = endpoint.parse()?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    match uri.scheme_str() {
        Some("http" | "https") if has_host && has_valid_port(&uri) => Ok(uri),
        _ => Err(InvalidEndpoint::Scheme),
    }
}

/// Returns true if the port is a number or absent: `Uri` accepts any text.
fn has_valid_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host_and_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, rest)| rest);
    let after_ipv6 = host_and_port.rsplit_once(']');
    let may_have_port = after_ipv6.map_or(host_and_port, |(_, rest)| rest);
    !may_have_port.contains(':') || uri.port_u16().is_some()
}

/// The headers of each request, marked as sensitive.
pub(super) fn headers(list: &str) -> Result<HeaderMap, InvalidEndpoint> {
    let mut headers = HeaderMap::new();
    let pairs = pairs::parse(list).map_err(|_| InvalidEndpoint::Headers)?;
    for (name, value) in pairs {
        let wrong = || InvalidEndpoint::Header(name.clone());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_with_a_host() {
        for endpoint in [
            "http://localhost:4317",
            "http://user:word@localhost",
            "https://[2001:db8::1]/otlp?a=b",
            "https://[2001:db8::1]:4317",
        ] {
            assert!(check_endpoint(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in [
            "",
            "localhost:4317",
            "/v1/traces",
            "ftp://a",
            "http://",
            "http://a:",
            "http://a:b",
            "http://a:65536",
            "http://[2001:db8::1]:b",
            "http://joe:hun/ter2@a",
            "a b",
        ] {
            assert!(check_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn wrong_headers_are_named_without_their_value() {
        assert!(check_headers("authorization=Bearer%20x,x-a=1").is_ok());
        let wrong = check_headers("x-a=1,x-key=secret%0a").unwrap_err();
        assert!(wrong.to_string().contains("x-key"), "{wrong}");
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
        let wrong = check_headers("x-a=1,secret").unwrap_err();
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
    }
}

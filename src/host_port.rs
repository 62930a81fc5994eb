//! Hosts in settings: `:PORT`, `HOST:PORT`, `[IPV6]:PORT`, and DNS names.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The error text for an address to listen on that has none of these forms.
pub const EXPECTED: &str = "must be :PORT, HOST:PORT or [IPV6]:PORT";

/// Returns true if the text is `:PORT`, `HOST:PORT` or `[IPV6]:PORT`.
pub fn is_address(text: &str) -> bool {
    if text.starts_with('[') {
        return text.parse::<SocketAddrV6>().is_ok();
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port && (host.is_empty() || is_host(host))
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(fits)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.split('.').all(is_label)
}

/// Returns true if the text is a DNS name as in RFC 1123, section 2.1, without a dot at
/// the end.
pub fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A text that ends with a number would be an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && !is_number && text.split('.').all(is_label)
}

/// Returns true if only this machine can reach an address and port. The only name that
/// counts is `localhost`.
pub fn is_loopback(addr: &str) -> bool {
    let is_ours = |ip: IpAddr| ip.to_canonical().is_loopback();
    match addr.parse::<SocketAddr>() {
        Ok(addr) => is_ours(addr.ip()),
        Err(_) => addr
            .rsplit_once(':')
            .is_some_and(|(host, _)| host == "localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known() {
        for addr in [
            "127.0.0.1:1",
            "127.8.8.8:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
            "localhost:1",
        ] {
            assert!(is_loopback(addr), "{addr}");
        }
        for addr in [
            ":1",
            "0.0.0.0:1",
            "[::]:1",
            "192.0.2.1:1",
            "localhost.example:1",
            "a.example:80",
        ] {
            assert!(!is_loopback(addr), "{addr}");
        }
    }
}

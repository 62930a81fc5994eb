//! Whose word is taken for where requests come from.

use std::net::IpAddr;

use super::Rules;

pub(super) fn check(rules: &mut Rules<'_>) {
    let c = rules.config;
    if c.listener.proxy_protocol && c.http.trusted_proxies.is_empty() {
        rules.refuse(
            &["listener.proxy_protocol", "http.trusted_proxies"],
            "needs http.trusted_proxies, the networks of the load balancers: nobody else \
             may connect",
        );
        return;
    }
    let may_be_strangers = !is_loopback(&c.listener.addr);
    if c.http.trusted_proxies.is_empty() && c.http.reads_headers() && may_be_strangers {
        rules.warn(
            &[
                "http.trusted_proxies",
                "http.trusted_hops",
                "http.forwarded_by",
                "listener.addr",
            ],
            "any peer may claim another address: name the networks of your CDN or load \
             balancer, or set http.forwarded_by to none if there is none",
        );
    }
}

/// Whether nobody but this machine reaches an address to listen on.
fn is_loopback(addr: &str) -> bool {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        for addr in ["127.0.0.1:80", "127.3.2.1:80", "[::1]:80", "localhost:80"] {
            assert!(is_loopback(addr), "{addr}");
        }
        for addr in [
            ":80",
            "0.0.0.0:80",
            "[::]:80",
            "192.0.2.1:80",
            "a.example:80",
        ] {
            assert!(!is_loopback(addr), "{addr}");
        }
    }
}

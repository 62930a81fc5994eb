//! The text form of private pools.

use super::table::TextTable;
use crate::proto::admin::v1;

/// A row for each pool.
pub(in crate::admin_client) fn pools(listed: &v1::ListPrivatePoolsResponse) -> String {
    if listed.private_pools.is_empty() {
        return "no private pools\n".to_owned();
    }
    let mut table = TextTable::of_words();
    table.row([
        "pool", "proxies", "waiting", "matched", "unserved", "overflow", "spare", "expires",
        "set by",
    ]);
    for pool in &listed.private_pools {
        let yes = |may: bool| if may { "yes" } else { "no" }.to_owned();
        let end = pool
            .expire_time
            .map_or_else(|| "never".to_owned(), |end| end.to_string());
        table.row([
            pool.name.clone(),
            pool.parked_polls.to_string(),
            pool.queued_clients.to_string(),
            pool.matched_clients.to_string(),
            pool.unserved_clients.to_string(),
            yes(pool.overflow),
            yes(pool.spare),
            end,
            if pool.configured {
                "configuration"
            } else {
                "admin"
            }
            .to_owned(),
        ]);
    }
    table.to_string()
}

/// The lines with which clients and proxies reach a new pool, of a broker at this URL.
pub(in crate::admin_client) fn created_pool(
    created: &v1::CreatePrivatePoolResponse,
    url: &str,
    stun: &str,
) -> String {
    if created.token.is_empty() {
        return "the pool can be created\n".to_owned();
    }
    let url = format!("{}/p/{}/", url.trim_end_matches('/'), created.token);
    let fingerprint = &created.bridge_fingerprint;
    let pattern = &created.allowed_relay_pattern;
    format!(
        "The token is shown only now. Clients, in torrc or as a bridge line of Tor Browser:\n\n  \
         Bridge snowflake 192.0.2.3:80 {fingerprint} fingerprint={fingerprint} url={url} ice={stun}\n\n\
         Proxies:\n\n  \
         snowflake-proxy -broker {url} -stun {stun} -allowed-relay-hostname-pattern \'{pattern}\'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_has_a_row() {
        let family = v1::PrivatePool {
            name: "family".to_owned(),
            expire_time: Some("2030-01-31T00:00:00Z".parse().unwrap()),
            spare: true,
            parked_polls: 3,
            matched_clients: 12,
            unserved_clients: 1,
            ..v1::PrivatePool::default()
        };
        let listed = v1::ListPrivatePoolsResponse {
            private_pools: vec![family],
        };
        let expected = "\
pool    proxies  waiting  matched  unserved  overflow  spare  expires               set by
family  3        0        12       1         no        yes    2030-01-31T00:00:00Z  admin
";
        assert_eq!(pools(&listed), expected);
        let none = v1::ListPrivatePoolsResponse::default();
        assert_eq!(pools(&none), "no private pools\n");
    }

    #[test]
    fn a_new_pool_comes_with_its_lines() {
        let created = v1::CreatePrivatePoolResponse {
            token: "0123456789abcdef".to_owned(),
            bridge_fingerprint: "AB".to_owned(),
            allowed_relay_pattern: "^relay.example$".to_owned(),
            ..v1::CreatePrivatePoolResponse::default()
        };
        let text = created_pool(&created, "https://broker.example", "stun:stun.example:3478");
        for line in [
            "  Bridge snowflake 192.0.2.3:80 AB fingerprint=AB \
             url=https://broker.example/p/0123456789abcdef/ ice=stun:stun.example:3478",
            "  snowflake-proxy -broker https://broker.example/p/0123456789abcdef/ \
             -stun stun:stun.example:3478 -allowed-relay-hostname-pattern \'^relay.example$\'",
        ] {
            assert!(text.lines().any(|written| written == line), "{text}");
        }
    }
}

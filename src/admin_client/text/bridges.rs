//! The text form of bridges.

use std::collections::BTreeSet;

use crate::causes::one_line;
use crate::proto::admin::v1;

use super::sentences::{DryRun, warnings};
use super::table::TextTable;

/// A row for each address.
pub(in crate::admin_client) fn bridges(listed: &v1::ListBridgesResponse) -> String {
    let table = table(&listed.bridges);
    let failures = failures(&listed.bridges);
    let (count, etag) = (counts(&listed.bridges), &listed.etag);
    let warnings = warnings(&listed.warnings);
    format!("{table}{failures}{count}, etag {etag}\n{warnings}")
}

/// The result of checking a file.
pub(in crate::admin_client) fn checked_bridges(checked: &v1::ListBridgesResponse) -> String {
    let count = counts(&checked.bridges);
    format!("ok, {count}\n{}", warnings(&checked.warnings))
}

/// The result of replacing the bridges.
pub(in crate::admin_client) fn replaced_bridges(
    replaced: &v1::ReplaceBridgesResponse,
    dry_run: DryRun,
) -> String {
    let count = |count: i32| usize::try_from(count).unwrap_or(0);
    let now = number(count(replaced.bridge_count), "bridge");
    let before = count(replaced.replaced_count);
    let etag = one_line(&replaced.etag);
    let warnings = warnings(&replaced.warnings);
    dry_run.mark(format!(
        "{now} in place of {before}, etag {etag}\n{warnings}"
    ))
}

/// The addresses of the bridge that was changed.
pub(in crate::admin_client) fn changed_bridge(
    set: &v1::SetBridgeResponse,
    dry_run: DryRun,
) -> String {
    let (table, etag) = (table(&set.bridges), one_line(&set.etag));
    let warnings = warnings(&set.warnings);
    dry_run.mark(format!("{table}etag {etag}\n{warnings}"))
}

fn table(bridges: &[v1::Bridge]) -> TextTable {
    let mut table = TextTable::of_words();
    table.row([
        "fingerprint",
        "relay URL",
        "weight",
        "state",
        "health",
        "name",
    ]);
    for bridge in bridges {
        let weight = bridge
            .weight
            .map_or_else(String::new, |weight| weight.to_string());
        table.row([
            &bridge.fingerprint,
            &bridge.relay_url,
            &weight,
            state(bridge),
            health(bridge),
            &bridge.display_name,
        ]);
    }
    table
}

fn state(bridge: &v1::Bridge) -> &'static str {
    match bridge.state() {
        v1::BridgeState::Unspecified => "",
        v1::BridgeState::Up => "up",
        v1::BridgeState::Drain => "drain",
        v1::BridgeState::Down => "down",
    }
}

fn health(bridge: &v1::Bridge) -> &'static str {
    match bridge.health() {
        _ if bridge.is_taken_out => "ailing, taken out",
        v1::BridgeHealth::Unspecified => "-",
        v1::BridgeHealth::Well => "well",
        v1::BridgeHealth::Ailing => "ailing",
    }
}

/// A line for each address whose last probe failed.
fn failures(bridges: &[v1::Bridge]) -> String {
    let failed = bridges.iter().filter(|it| !it.probe_failure.is_empty());
    let lines = failed.map(|bridge| {
        let url = one_line(&bridge.relay_url);
        format!("{url}: {}\n", one_line(&bridge.probe_failure))
    });
    lines.collect()
}

/// `1 bridge`, or `2 bridges with 3 addresses`.
fn counts(addresses: &[v1::Bridge]) -> String {
    let bridges: BTreeSet<_> = addresses.iter().map(|it| &it.fingerprint).collect();
    let count = number(bridges.len(), "bridge");
    if bridges.len() == addresses.len() {
        return count;
    }
    format!("{count} with {} addresses", addresses.len())
}

fn number(count: usize, of: &str) -> String {
    match count {
        1 => format!("1 {of}"),
        count => format!("{count} {of}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(url: &str) -> v1::Bridge {
        v1::Bridge {
            fingerprint: "2B280B23E1107BB62ABFC40DDCC8824814F80A72".to_owned(),
            relay_url: url.to_owned(),
            display_name: "\u{1b}[31mred".to_owned(),
            weight: Some(1.0),
            state: v1::BridgeState::Up.into(),
            ..v1::Bridge::default()
        }
    }

    fn listed(bridges: Vec<v1::Bridge>) -> v1::ListBridgesResponse {
        v1::ListBridgesResponse {
            bridges,
            etag: "0123".to_owned(),
            ..v1::ListBridgesResponse::default()
        }
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        let one = bridge("wss://snowflake.example.org/");
        let table = bridges(&listed(vec![one]));
        assert!(table.contains("\\u{1b}[31mred"), "{table}");
        assert!(table.ends_with("1 bridge, etag 0123\n"), "{table}");
    }

    #[test]
    fn the_health_of_each_address_is_shown() {
        let name = String::new();
        let well = v1::Bridge {
            health: v1::BridgeHealth::Well.into(),
            display_name: name.clone(),
            ..bridge("wss://a.example/")
        };
        let out = v1::Bridge {
            weight: Some(0.5),
            health: v1::BridgeHealth::Ailing.into(),
            probe_failure: "no TCP connection".to_owned(),
            is_taken_out: true,
            display_name: name,
            ..bridge("wss://b.example/")
        };
        let expected = "\
fingerprint                               relay URL         weight  state  health             name
2B280B23E1107BB62ABFC40DDCC8824814F80A72  wss://a.example/  1       up     well
2B280B23E1107BB62ABFC40DDCC8824814F80A72  wss://b.example/  0.5     up     ailing, taken out
wss://b.example/: no TCP connection
1 bridge with 2 addresses, etag 0123
";
        assert_eq!(bridges(&listed(vec![well, out])), expected);
    }
}

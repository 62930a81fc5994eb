use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

#[test]
fn every_form_is_scrubbed() {
    for (line, clean) in [
        ("1.2.3.4", "[scrubbed]"),
        ("from 1.2.3.4.", "from [scrubbed]."),
        ("1.2.3.4:443 gone", "[scrubbed] gone"),
        ("1.2.3.4/24", "[scrubbed]/24"),
        ("4.3.2.1.in-addr.arpa", "[scrubbed].in-addr.arpa"),
        ("ip=010.001.002.003,", "ip=[scrubbed],"),
        ("http://1.2.3.4:8080/x", "http://[scrubbed]/x"),
        ("[::]:443", "[scrubbed]"),
        ("::1", "[scrubbed]"),
        ("peer:fe80::1: refused", "peer:[scrubbed]: refused"),
        ("fe80::1%eth0,", "[scrubbed],"),
        ("[fe80::1%eth0]:443", "[scrubbed]"),
        ("https://[fe80::1%25eth0]:443/", "https://[scrubbed]/"),
        ("[2001:DB8::1]:443", "[scrubbed]"),
        ("<2001:db8:1:2:3:4:5:6>", "<[scrubbed]>"),
        ("::ffff:1.2.3.4:80", "[scrubbed]"),
        ("1:2:3:4:5:6:1.2.3.4", "[scrubbed]"),
        ("a=%5B2001:db8::1%5D%3A443&b", "a=[scrubbed]&b"),
        ("a=2001%3Adb8%3A%3A1%20b", "a=[scrubbed]%20b"),
        ("a=2001%253Adb8%253A%253A1", "a=[scrubbed]"),
        ("1%2E2%2e3%2E4", "[scrubbed]"),
        (r#""x\n2001:db8::1\r""#, r#""x\n[scrubbed]\r""#),
        (r#""x\\nfe80::a\\r""#, r#""x\\n[scrubbed]\\r""#),
        (r#""\bfe80::a""#, r#""\b[scrubbed]""#),
        (r#""\b2001::1""#, r#""[scrubbed]""#),
        ("key:::1 fe80:::", "key:[scrubbed] [scrubbed]:"),
        (".1.2.3.4", ".[scrubbed]"),
        (r#""\u00011.2.3.4""#, r#""[scrubbed]""#),
        (r#"{"a":"2001\u003adb8::1"}"#, r#"{"a":"[scrubbed]"}"#),
        (
            "a=candidate:1 1 udp 1 1.2.3.4 9 typ srflx raddr fd00::a rport 9\\r\\n",
            "a=candidate:1 1 udp 1 [scrubbed] 9 typ srflx raddr [scrubbed] rport 9\\r\\n",
        ),
        (
            "\x1b[3mpeer\x1b[0m\x1b[2m=\x1b[0mfe80::a",
            "\x1b[3mpeer\x1b[0m\x1b[2m=\x1b[0m[scrubbed]",
        ),
        ("x2001:db8::1y", "x[scrubbed]y"),
    ] {
        assert_eq!(scrub(line), clean);
    }
}

#[test]
fn what_only_resembles_an_address_stays() {
    for line in [
        "2026-11-23T03:14:56Z",
        "2026-11-23T03:14:56.123456Z  INFO snowflake_broker::http: polled",
        "\x1b[2m2026-11-23T03:14:56Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2msnowflake_broker::http\x1b[0m\x1b[2m:\x1b[0m x",
        "snowflake_broker::http::client",
        "at snowflake_broker::http::client::h0123456789abcdef",
        "h2::codec::framed_read: received",
        "snowflake_broker::feed:12:5: x",
        "a::b::c",
        "src/http.rs:12:5",
        "collect::<Vec<_>>() in x25519::ed",
        "version 1.2.3, 2.14.1-rc.1; took 1.5ms",
        "00:1b:44:11:3a:b7",
        "{\"a\":1.5,\"b\":[1,2],\"c\":\"x\\n100%\"}",
        "poll-5f3a9c0b 0xdeadbeef GET /client?x=%20y",
        "[] : . .. ... 3. .5 a.b.c.d e:f",
    ] {
        assert_eq!(scrub(line), line);
        assert!(matches!(scrub(line), Cow::Borrowed(_)));
    }
}

fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

/// Addresses with few and many zeros, mapped ones, and currently allocated ones.
fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
    let group = prop_oneof![2 => Just(0), 1 => 0..16u16, 3 => any::<u16>()];
    prop_oneof![
        any::<u128>().prop_map(Ipv6Addr::from_bits),
        prop::array::uniform8(group).prop_map(Ipv6Addr::from),
        any_v4().prop_map(|v4| v4.to_ipv6_mapped()),
        global_v6(),
    ]
}

fn global_v6() -> impl Strategy<Value = Ipv6Addr> {
    let host = prop_oneof![any::<u64>(), 0..0x1_0000_u64];
    (0x2000_0000_u32..0x4000_0000, any::<u32>(), host).prop_map(|(net, site, host)| {
        Ipv6Addr::from_bits(u128::from(net) << 96 | u128::from(site) << 64 | u128::from(host))
    })
}

/// Ways to write one address, without brackets, zone and port.
fn written(address: IpAddr) -> impl Strategy<Value = String> {
    prop::sample::select(match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            vec![v4.to_string(), format!("{a:03}.{b:03}.{c:03}.{d:03}")]
        }
        IpAddr::V6(v6) => {
            let full = v6.segments().map(|group| format!("{group:04x}")).join(":");
            let plain = v6.segments().map(|group| format!("{group:X}")).join(":");
            let (head, tail) = full.split_at(30);
            let octets =
                Ipv4Addr::from_bits(u32::from_str_radix(&tail.replace(':', ""), 16).unwrap());
            let mixed = format!("{head}{octets}");
            let short = v6.to_string();
            vec![short.to_uppercase(), short, full, plain, mixed]
        }
    })
}

/// An address as in logs: plain, with a port or zone, in brackets, or escaped.
fn dressed() -> impl Strategy<Value = String> {
    let address = prop_oneof![any_v4().prop_map(IpAddr::V4), any_v6().prop_map(IpAddr::V6)];
    let written = address.prop_flat_map(|address| (Just(address), written(address)));
    (written, any::<u16>(), 0..4, 0..5).prop_map(|((address, text), port, dress, escape)| {
        let text = match (address, dress) {
            (IpAddr::V4(_), 1..) => format!("{text}:{port}"),
            (IpAddr::V6(_), 1) => format!("[{text}]:{port}"),
            (IpAddr::V6(_), 2) => format!("[{text}%eth0]:{port}"),
            (IpAddr::V6(_), 3) => format!("{text}%wlan0"),
            _ => text,
        };
        match escape {
            1 => text
                .replace(':', "%3A")
                .replace('[', "%5B")
                .replace(']', "%5D"),
            2 => text.replace('%', "%25").replace(':', "%3a"),
            3 => text.replace(':', r"\u003a").replace('.', r"\u002E"),
            4 => text
                .replace('%', "%25")
                .replace(':', "%253a")
                .replace('.', "%2E"),
            _ => text,
        }
    })
}

/// Searches for an IPv4 address the slow way: by parsing every part of the text.
fn holds_v4(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|start| {
        (start + 7..=bytes.len().min(start + 15)).any(|end| {
            let part = str::from_utf8(&bytes[start..end]).unwrap_or("");
            part.parse::<Ipv4Addr>().is_ok()
        })
    })
}

proptest! {
    #[test]
    fn an_address_between_any_punctuation_is_replaced_whole(
        before in r#"([a-z =]* (key:)?)?["'(<{\[=,;/|@ ]{0,3}"#,
        address in dressed(),
        after in r#"["')>},;/|@ ]{0,3}( [a-z =]*:?)?"#,
    ) {
        prop_assume!(!(before.ends_with('[') && after.starts_with(']')));
        let line = format!("{before}{address}{after}");
        let clean = scrub(&line);
        prop_assert_eq!(clean, format!("{before}{SCRUBBED}{after}"));
    }

    #[test]
    fn no_ipv4_address_survives_anywhere(
        text in r"([0-9a-f:.%\\nu ]|[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::){0,12}",
        before in any::<String>(),
        address in any_v4(),
        after in any::<String>(),
    ) {
        prop_assert!(!holds_v4(&scrub(&text)));
        let line = format!("{before}{text}{address}{after}");
        prop_assert!(!holds_v4(&scrub(&line)), "{}", scrub(&line));
    }

    /// Adjacent to letters, an address can look like a path: `xfe80::a`. A global one
    /// cannot, since it begins with a digit.
    #[test]
    fn no_global_ipv6_address_survives_anything_around_it(
        before in "[ -~]{0,8}|[a-f:.%\\\\]{0,4}|\\PC{0,4}",
        (address, text) in global_v6().prop_flat_map(|v6| (Just(v6), written(IpAddr::V6(v6)))),
        after in "[ -~]{0,8}|[a-f:.%\\\\]{0,4}|\\PC{0,4}",
    ) {
        let clean = scrub(&format!("{before}{text}{after}")).into_owned();
        let network = format!("{:x}:", address.segments()[0]);
        prop_assert!(!clean.to_lowercase().contains(&network), "{clean}");
    }

    #[test]
    fn json_stays_json(text in any::<String>(), address in dressed(), after in any::<String>()) {
        let value = serde_json::json!({ text.clone(): format!("{text}{address}{after}") });
        let clean = scrub(&value.to_string()).into_owned();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&clean).is_ok(), "{clean}");
    }

    #[test]
    fn paths_stay(path in "[a-z_]{1,3}[g-z_][a-z0-9_]{0,8}(::[g-z][a-z0-9_]{1,8}){1,4}(:|:[0-9]{1,3}: )?") {
        prop_assert_eq!(scrub(&path), path.as_str());
    }

    #[test]
    fn times_stay(h in 0..24, m in 0..60, s in 0..60, micros in 0..1_000_000) {
        let line = format!("2026-11-23T{h:02}:{m:02}:{s:02}.{micros:06}Z at {h}:{m:02}:{s:02}.{micros}");
        prop_assert_eq!(scrub(&line), line.as_str());
    }
}

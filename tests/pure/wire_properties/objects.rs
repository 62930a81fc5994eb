//! Objects with any members in any order, compared with a slow and simple reader that
//! goes over all members for each field, decodes their keys, and compares them.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use snowflake_broker::wire::answer::ProxyAnswer;
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyTypes, Sid, TYPE_NAME_MAX};
use snowflake_broker::wire::relay_pattern::RelayPattern;
use snowflake_broker::wire::session_description::SessionDescription;

use crate::wire_properties::json_text::{key, string, taste, text};

const MEMBERS_MAX: usize = 64;

struct WrongType;

struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl<'a> Members<'a> {
    /// The values under a key except null, all of which must be of the right type.
    fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let members = self.0.iter();
        let named = members.filter(|(name, value)| is_spelled(name, key) && value.get() != "null");
        named.map(|(_, value)| value.get())
    }

    fn string(&self, key: &str) -> Result<Option<String>, WrongType> {
        let values: Vec<_> = self
            .values(key)
            .map(decoded)
            .collect::<Option<_>>()
            .ok_or(WrongType)?;
        Ok(values.into_iter().last())
    }

    fn integer(&self, key: &str) -> Result<Option<i64>, WrongType> {
        let values: Vec<_> = self
            .values(key)
            .map(|value| value.parse().ok())
            .collect::<Option<_>>()
            .ok_or(WrongType)?;
        Ok(values.into_iter().last())
    }
}

fn is_spelled(name: &RawValue, key: &str) -> bool {
    let name = decoded(name.get()).expect("a key is a string");
    let folded = name.replace('ſ', "s").replace('\u{212a}', "k");
    folded.eq_ignore_ascii_case(key)
}

/// The text of a well-formed JSON string; `None` for any other value.
fn decoded(literal: &str) -> Option<String> {
    let mut letters = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut units = Vec::new();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            units.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match letters.next().expect("something is escaped") {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let digits: String = letters.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).expect("four digits")
            }
            other => u16::try_from(u32::from(other)).expect("a mark"),
        });
    }
    Some(String::from_utf16_lossy(&units))
}

fn read(text: &str) -> Option<ProxyPoll> {
    let members: Members = serde_json::from_str(text).expect("it was made as JSON");
    if members.0.len() > MEMBERS_MAX {
        return None;
    }
    let sid = members.string("Sid").ok()?;
    let version = members.string("Version").ok()?;
    let proxy_type = members.string("Type").ok()?;
    let nat = members.string("NAT").ok()?;
    let clients = members.integer("Clients").ok()?;
    let pattern = members.string("AcceptedRelayPattern").ok()?;
    if version?.split('.').next() != Some("1") {
        return None;
    }
    Some(ProxyPoll {
        sid: Sid::new(&sid?)?,
        proxy_type: ProxyTypes::default().from_field(proxy_type.as_deref()),
        type_name: proxy_type
            .filter(|name| name.len() <= TYPE_NAME_MAX)
            .map(Into::into),
        nat: NatType::from_field(nat.as_deref()).ok()?,
        clients: u64::try_from(clients.unwrap_or(0)).unwrap_or(0),
        accepted_relay_pattern: pattern.as_deref().map(RelayPattern::from),
    })
}

const KEYS: [&str; 6] = [
    "Sid",
    "Version",
    "Type",
    "NAT",
    "Clients",
    "AcceptedRelayPattern",
];

/// A known key, or one that is nearly known.
fn a_key() -> impl Strategy<Value = String> {
    let known = (select(KEYS.to_vec()), taste()).prop_map(|(name, taste)| key(name, &taste));
    let related = (select(KEYS.to_vec()), taste()).prop_map(|(name, taste)| {
        let name = name.replace(['s', 'S'], "ſ").replace('k', "\u{212a}");
        string(&name, &taste)
    });
    let near = (select(KEYS.to_vec()), any::<char>(), 0..3_usize, taste()).prop_map(
        |(name, letter, repeated, taste)| {
            let more = letter.to_string().repeat(repeated * repeated * 30);
            key(&format!("{name}{more}"), &taste)
        },
    );
    let other = (text(), taste()).prop_map(|(name, taste)| string(&name, &taste));
    prop_oneof![4 => known, 2 => related, 1 => near, 1 => other, 1 => Just(r#""\ud800""#.into())]
}

/// A value that often fits the key.
fn a_value(key: &str) -> BoxedStrategy<String> {
    let right = match key {
        "Version" => select(vec!["\"1.3\"", "\"1\"", "null"]),
        "NAT" => select(vec!["\"open\"", "\"\\u006fpen\"", "\"\"", "null"]),
        "Clients" => select(vec!["8", "-1", "0", "null", "9223372036854775807"]),
        _ => select(vec!["\"x\"", "\"\\ud83d\"", "\"w\\u0065bext\"", "null"]),
    };
    let any = prop_oneof![
        (text(), taste()).prop_map(|(text, taste)| string(&text, &taste)),
        select(vec![
            "1",
            "1.5",
            "1e3",
            "true",
            "[]",
            "{\"Sid\":1}",
            "\"open\"",
            "\"1\""
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![24 => right.prop_map(str::to_owned), 1 => any].boxed()
}

/// A member as JSON; its key is known if its value is to fit.
fn member() -> impl Strategy<Value = String> {
    let fitting = select(KEYS.to_vec()).prop_flat_map(|name| {
        (a_value(name), taste())
            .prop_map(move |(value, taste)| format!("{}:{value}", key(name, &taste)))
    });
    let any = (a_key(), a_value("")).prop_map(|(key, value)| format!("{key}:{value}"));
    prop_oneof![6 => fitting, 1 => any]
}

fn an_object() -> impl Strategy<Value = String> {
    let sizes = prop_oneof![8 => 0..10_usize, 1 => MEMBERS_MAX - 4..MEMBERS_MAX + 3];
    let begun = select(vec!["", r#""Sid":"a","Version":"1","#]);
    let members = sizes.prop_flat_map(|size| vec(member(), size));
    (begun, members).prop_map(|(begun, members)| {
        let members = members.join(",");
        format!("{{{}}}", format!("{begun}{members}").trim_end_matches(','))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_object_is_read_as_the_plain_reader_reads_it(object in an_object()) {
        prop_assert_eq!(ProxyPoll::decode(object.as_bytes(), &ProxyTypes::default()).ok(), read(&object));
    }
}

/// An object of these members, padded with others to `all` members.
fn padded(members: &str, own: usize, all: usize) -> String {
    let others = r#""x":{"y":[]},"#.repeat(all - own);
    format!("{{{others}{members}}}")
}

#[test]
fn an_object_has_at_most_64_members() {
    const DESCRIPTION: &str = r#""type":"offer","sdp":"a=candidate""#;
    let quoted = |text: &str| string(text, &[1]);
    let offer = |all| quoted(&padded(DESCRIPTION, 2, all));
    let messages = |outside, inside| {
        let poll = padded(r#""Sid":"x","Version":"1""#, 2, outside);
        let answer = format!(r#""Sid":"x","Version":"1","Answer":{}"#, offer(inside));
        let client = format!(r#""offer":{}"#, offer(inside));
        let client = format!("1.0\n{}", padded(&client, 1, outside));
        let legacy = padded(DESCRIPTION, 2, inside);
        (
            ProxyPoll::decode(poll.as_bytes(), &ProxyTypes::default()).is_ok(),
            ProxyAnswer::decode(padded(&answer, 3, outside).as_bytes()).is_ok(),
            ClientPoll::decode(client.as_bytes()).is_ok(),
            ClientPoll::decode_legacy(legacy.as_bytes(), None).is_ok(),
            SessionDescription::parse(&legacy).is_ok(),
        )
    };
    assert_eq!(messages(64, 64), (true, true, true, true, true));
    assert_eq!(messages(65, 64), (false, false, false, true, true));
    assert_eq!(messages(64, 65), (true, false, false, false, false));
}

#[test]
fn what_has_too_many_members_is_told_so() {
    let body: Cow<str> = format!("1.0\n{}", padded("\"offer\":\"\"", 1, 65)).into();
    let error = ClientPoll::decode(body.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed request: the object has more than 64 members"
    );
    // The sixty-fifth member is not even complete.
    let broken = padded("\"offer\"", 1, 66);
    assert!(ClientPoll::decode(format!("1.0\n{broken}").as_bytes()).is_err());
}

//! Bodies that clients and proxies post, and paths of AMP caches (PROTOCOL, sections 2 to 6).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use snowflake_broker::wire::answer::{self, ProxyAnswer};
use snowflake_broker::wire::client::{self, ClientPoll};
use snowflake_broker::wire::proxy::{PollResponse, PollStatus, ProxyPoll, ProxyTypes};
use snowflake_broker::wire::session_description::SessionDescription;
use snowflake_broker::wire::{amp_armor, amp_path, candidates, nat_probe};

use super::choice;

pub(super) fn bodies(input: &[u8]) {
    let Some((which, body)) = choice(input, 6) else {
        return;
    };
    match which {
        0 => client_poll(body),
        1 => legacy_poll(body),
        2 => proxy_poll(body),
        3 => proxy_answer(body),
        4 => nat_probe(body),
        _ => amp(body),
    }
}

/// A poll that is understood is understood in its plainest form, too, and means the same.
fn client_poll(body: &[u8]) {
    let Ok(poll) = ClientPoll::decode(body) else {
        return;
    };
    let plain = json!({
        "offer": poll.offer.text(),
        "nat": poll.nat.as_str(),
        "fingerprint": poll.fingerprint.to_string(),
    });
    let again = ClientPoll::decode(format!("1.0\n{plain}").as_bytes());
    assert_eq!(again.expect("its plain form"), poll);
    assert!(!ClientPoll::is_legacy(body), "it has two formats");
    pass_on(&poll.offer);
}

fn legacy_poll(body: &[u8]) {
    if let Ok(poll) = ClientPoll::decode_legacy(body, None) {
        pass_on(&poll.offer);
    }
}

fn proxy_poll(body: &[u8]) {
    let types = ProxyTypes::default();
    let Ok(poll) = ProxyPoll::decode(body, &types) else {
        return;
    };
    let plain = json!({
        "Sid": "any",
        "Version": "1.0",
        "Type": poll.type_name,
        "NAT": poll.nat.as_str(),
        "Clients": poll.clients.min(i64::MAX as u64),
        "AcceptedRelayPattern": poll.accepted_relay_pattern.as_ref().map(ToString::to_string),
    });
    let again = ProxyPoll::decode(plain.to_string().as_bytes(), &types).expect("its plain form");
    assert_eq!(again.nat, poll.nat);
    assert_eq!(again.clients, poll.clients);
    assert_eq!(again.accepted_relay_pattern, poll.accepted_relay_pattern);
}

/// An answer that reaches its client is none that declines.
fn proxy_answer(body: &[u8]) {
    let declined = answer::declined(body);
    let Ok(answer) = ProxyAnswer::decode(body) else {
        return;
    };
    assert_eq!(declined, None);
    let response: Value = parsed(&client::encode_answer(&answer.answer));
    assert_eq!(response, json!({"answer": answer.answer.text()}));
    pass_on(&answer.answer);
}

fn nat_probe(body: &[u8]) {
    if let Ok(offer) = nat_probe::decode_offer(body) {
        let _ = offer.offered_sdp();
        parsed(&nat_probe::encode_answer(&offer));
    }
}

/// A poll in a path is the same after a second trip, and its response can be armored.
fn amp(path: &[u8]) {
    let Ok(poll) = amp_path::decode(&String::from_utf8_lossy(path)) else {
        return;
    };
    let plain = format!("0/{}", URL_SAFE_NO_PAD.encode(&poll));
    assert_eq!(amp_path::decode(&plain).expect("its plain form"), poll);
    let page = amp_armor::encode(&poll);
    assert_eq!(
        page.matches("<pre>").count(),
        page.matches("</pre>").count()
    );
}

/// Passes a client's offer on to a proxy, which has to get every character of it.
fn pass_on(offer: &SessionDescription) {
    let _ = (offer.ice_ufrag(), candidates::public_address(offer));
    let response = PollResponse {
        status: PollStatus::ClientMatch {
            offer: offer.clone(),
            nat: snowflake_broker::wire::nat::NatType::Open,
            relay_url: "wss://bridge.example/".into(),
        },
        next_poll: Duration::from_secs(1),
    };
    assert_eq!(parsed(&response.encode())["Offer"], offer.text());
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("the broker writes JSON")
}

//! Request bodies of clients and proxies.

use serde_json::json;

/// An offer whose SDP is `name`.
pub(crate) fn offer(name: &str) -> String {
    json!({"type": "offer", "sdp": name}).to_string()
}

/// An answer whose SDP is `name` and a candidate.
pub(crate) fn answer(name: &str) -> String {
    json!({"type": "answer", "sdp": format!("{name}\r\na=candidate:1\r\n")}).to_string()
}

/// The body of a client's poll.
pub(crate) fn client_poll(name: &str, nat: &str) -> String {
    format!("1.0\n{}", json!({"offer": offer(name), "nat": nat}))
}

/// The body of a proxy's poll.
pub(crate) fn proxy_poll(sid: &str, nat: &str) -> String {
    json!({"Sid": sid, "Version": "1.3", "Type": "standalone", "NAT": nat, "Clients": 0, "AcceptedRelayPattern": ""})
        .to_string()
}

/// The body of a proxy's answer.
pub(crate) fn proxy_answer(sid: &str, name: &str) -> String {
    json!({"Version": "1.3", "Sid": sid, "Answer": answer(name)}).to_string()
}

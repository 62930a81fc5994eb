//! Messages as clients and proxies send them.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The size of most session descriptions, and of those that the reference broker was
/// measured with.
const DESCRIPTION_BYTES: usize = 2_500;

/// The JSON text of an offer or answer (`kind`), with many ICE candidates.
pub(crate) fn description(kind: &str) -> String {
    let mut sdp = String::from(
        "v=0\r\no=- 4596489990601351948 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
         a=group:BUNDLE 0\r\na=msid-semantic: WMS\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:aMAZ\r\na=ice-pwd:jcHb08Jjgrazp2dzjdrvPPvV\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 C8:88:EE:B9:E7:02:2E:21:37:ED:7A:D1:EB:2B:A3:15:\
         A2:3B:5B:1C:3D:D4:D5:1F:06:CF:52:40:03:F8:DD:66\r\n\
         a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n",
    );
    let text = |sdp: &str| json!({ "type": kind, "sdp": sdp }).to_string();
    let mut host = 1;
    while text(&sdp).len() < DESCRIPTION_BYTES {
        write!(
            sdp,
            "a=candidate:{host} 1 udp 2122260223 192.0.2.{host} 56688 typ host generation 0\r\n"
        )
        .expect("a string takes all");
        host += 1;
    }
    text(&sdp)
}

/// A proxy's poll with this `sid`.
pub(crate) fn proxy_poll(sid: &str, nat: &str) -> Vec<u8> {
    body(&json!({
        "Sid": sid,
        "Version": "1.3",
        "Type": "webext",
        "NAT": nat,
        "Clients": 0,
        "AcceptedRelayPattern": "snowflake.torproject.net",
    }))
}

/// A proxy's answer under `sid`.
pub(crate) fn proxy_answer(sid: &str) -> Vec<u8> {
    body(&json!({ "Version": "1.3", "Sid": sid, "Answer": description("answer") }))
}

/// A client's poll.
pub(crate) fn client_poll(nat: &str) -> Vec<u8> {
    let poll = json!({
        "offer": description("offer"),
        "nat": nat,
        "fingerprint": "2B280B23E1107BB62ABFC40DDCC8824814F80A72",
    });
    [b"1.0\n".to_vec(), body(&poll)].concat()
}

fn body(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

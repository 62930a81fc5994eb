#!/usr/bin/env bash
# An offer with a candidate that is a host name, next to one that is an address.
#
# Guess: the name is ignored or resolved, and the address is used: RFC 8839 allows host
# names in candidates, and demands that an implementation ignore a line that it cannot use.
# (Names under .local are a separate case, with their own rules.)
#
# Seen with snowflake-proxy 2.5.1 of Debian 12 (pion): the whole offer is refused ("failed
# to parse address"), including the good candidate, and silently: no answer is sent, and the
# client waits until its time-out. A name under .local is ignored, as it should be.
# libwebrtc (@roamhq/wrtc 0.10.0) and libdatachannel (node-datachannel 0.33.4) answer.
#
# So a client or proxy that is reached by name (for example behind a port forward with
# dynamic DNS, as media servers can announce themselves) costs each of its peers a whole
# match. A broker can see the name in the offer before it uses a proxy for it.
#
# Needs root for its own network namespace, apt-get (Debian 12), ip, npm with node, and
# python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download snowflake-proxy
dpkg -x snowflake-proxy_*.deb .
npm install --silent --no-audit --no-fund --prefix . @roamhq/wrtc@0.10.0 node-datachannel@0.33.4

version=$(usr/bin/snowflake-proxy -version 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
echo "snowflake-proxy $version, @roamhq/wrtc 0.10.0, node-datachannel 0.33.4"
[[ $version == 2.5.1 ]] || { echo "another version than the one looked at" >&2; exit 1; }

fingerprint=$(printf ':AB%.0s' {1..32})
cat >offer.json <<JSON
["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0",
 "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0",
 "a=candidate:1 1 udp 2130706431 203.0.113.7 40000 typ host",
 "a=candidate:2 1 udp 2130706175 NAME 40001 typ host", "a=ice-ufrag:abcd",
 "a=ice-pwd:abcdefghijklmnopqrstuvwx",
 "a=fingerprint:sha-256 ${fingerprint:1}",
 "a=setup:actpass", "a=mid:0", "a=sctp-port:5000", "a=max-message-size:262144"]
JSON

# A broker that gives one offer to a proxy, and reports whether an answer came.
cat >proxy.py <<'PYTHON'
import http.server, json, subprocess, sys

with open("offer.json") as file:
    lines = json.load(file)
sdp = "".join(line + "\r\n" for line in lines).replace("NAME", sys.argv[1])
polls = []
answers = []

class Broker(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"Status": "success"}
        if self.path == "/proxy":
            polls.append(asked["Sid"])
            offer = json.dumps({"type": "offer", "sdp": sdp})
            said = {"Status": "client match", "Offer": offer, "NAT": "unknown",
                    "RelayURL": "wss://snowflake.torproject.net/"}
        else:
            answers.append(json.loads(asked["Answer"])["sdp"])
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

broker = http.server.HTTPServer(("127.0.0.1", 0), Broker)
broker.timeout = 30
subprocess.Popen(
    ["usr/bin/snowflake-proxy", "-broker", f"http://127.0.0.1:{broker.server_port}/",
     "-stun", "stun:127.0.0.1:3478"], stderr=subprocess.DEVNULL)
for _ in range(4):
    broker.handle_request()
    if answers or len(polls) == 2:
        break
print("answers" if answers else "polls on")
PYTHON

cat >stacks.js <<'JAVASCRIPT'
const { RTCPeerConnection } = require("@roamhq/wrtc");
const { PeerConnection } = require("node-datachannel");

const lines = JSON.parse(require("fs").readFileSync("offer.json"));
const sdp = lines.map((line) => line + "\r\n").join("").replace("NAME", process.argv[3]);
const tell = (answer) => {
  console.log(answer.startsWith("v=0") ? "answers" : answer);
  process.exit();
};

const libwebrtc = async () => {
  const connection = new RTCPeerConnection();
  await connection.setRemoteDescription({ type: "offer", sdp });
  tell((await connection.createAnswer()).sdp);
};

const libdatachannel = () => {
  const connection = new PeerConnection("one", { iceServers: [] });
  connection.onLocalDescription(tell);
  connection.setRemoteDescription(sdp, "offer");
};

({ libwebrtc, libdatachannel })[process.argv[2]]();
JAVASCRIPT

# Runs in its own network and process namespaces, which end with it.
pion() {
    unshare --net --pid --fork --kill-child --mount-proc \
        sh -c "ip link set lo up && python3 proxy.py '$1'"
}

seen=$(
    for name in 203.0.113.8 something.local proxy.example.org; do
        echo "$name: pion $(pion "$name")," \
            "libwebrtc $(node stacks.js libwebrtc "$name")," \
            "libdatachannel $(node stacks.js libdatachannel "$name")"
    done
)
echo "$seen"
[[ $seen == "203.0.113.8: pion answers, libwebrtc answers, libdatachannel answers
something.local: pion answers, libwebrtc answers, libdatachannel answers
proxy.example.org: pion polls on, libwebrtc answers, libdatachannel answers" ]] ||
    { echo "this has changed" >&2; exit 1; }

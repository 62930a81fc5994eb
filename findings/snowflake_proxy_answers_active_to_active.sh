#!/usr/bin/env bash
# An offer that asks for a DTLS role: `a=setup:active`, so that the client sends the
# ClientHello.
#
# Guess: every WebRTC stack then answers `a=setup:passive`, as RFC 8842 demands. Only to
# `actpass`, which leaves the choice, do all answer `active`.
#
# Seen with snowflake-proxy 2.5.1 of Debian 12 (pion): it answers `active` to `active`, as
# to everything. Two DTLS clients cannot connect, since each waits for the other's
# ServerHello. libwebrtc (@roamhq/wrtc 0.10.0, the engine of Chromium) and libdatachannel
# (node-datachannel 0.33.4) answer `passive`.
#
# So where a censor blocks the *proxy's* ClientHello by its appearance, a client cannot
# reverse the roles by its offer: it would lose all proxies of this generation, and a broker
# that matched them would see answers but no connections. The broker must know the proxy's
# generation.
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
 "a=candidate:1 1 udp 2130706431 203.0.113.7 40000 typ host", "a=ice-ufrag:abcd",
 "a=ice-pwd:abcdefghijklmnopqrstuvwx",
 "a=fingerprint:sha-256 ${fingerprint:1}",
 "a=setup:ROLE", "a=mid:0", "a=sctp-port:5000", "a=max-message-size:262144"]
JSON

# A broker that gives one offer to a proxy, and prints the role in its answer.
cat >proxy.py <<'PYTHON'
import http.server, json, subprocess, sys

with open("offer.json") as file:
    lines = json.load(file)
sdp = "".join(line + "\r\n" for line in lines).replace("ROLE", sys.argv[1])
answers = []

class Broker(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"Status": "success"}
        if self.path == "/proxy":
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
    if answers:
        break
print(*(line.split(":")[1] for line in answers[0].split() if line.startswith("a=setup:")))
PYTHON

cat >stacks.js <<'JAVASCRIPT'
const { RTCPeerConnection } = require("@roamhq/wrtc");
const { PeerConnection } = require("node-datachannel");

const lines = JSON.parse(require("fs").readFileSync("offer.json"));
const sdp = lines.map((line) => line + "\r\n").join("").replace("ROLE", process.argv[3]);
const tell = (answer) => {
  console.log(answer.match(/^a=setup:(\w+)/m)[1]);
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
    for role in actpass passive active; do
        echo "$role: pion $(pion "$role")," \
            "libwebrtc $(node stacks.js libwebrtc "$role")," \
            "libdatachannel $(node stacks.js libdatachannel "$role")"
    done
)
echo "$seen"
[[ $seen == "actpass: pion active, libwebrtc active, libdatachannel active
passive: pion active, libwebrtc active, libdatachannel active
active: pion active, libwebrtc passive, libdatachannel passive" ]] ||
    { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# The pause of a standalone proxy between two polls, and after it has got a client.
#
# Guess: a proxy that polls "every 5 s" waits for 5 s after each reply, so one whose broker
# parks polls for 10 s polls every 15 s and is parked for two thirds of the time. It has no
# limit of clients unless it is told one, so it goes on polling while it serves.
#
# Seen with snowflake-proxy 2.5.1 (Debian 12): the 5 s are from the start of a poll to the
# start of the next, and a poll that takes longer is followed by the next at once: with
# replies after 7 s there is a poll every 7 s, and the proxy is parked all the time. With a
# client it does not poll until the client's data channel is open. If that never opens, it
# polls again after 20 s and the time for its answer, 25 s in all where no STUN server
# replies.
#
# So a standalone proxy counts as one parked poll rather than two thirds of one, its rate of
# polls depends on how long the broker parks them, and each match that comes to nothing
# costs 20 to 25 s of a proxy.
#
# Needs root for its own network namespace, apt-get (Debian 12) and python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download snowflake-proxy
dpkg -x snowflake-proxy_*.deb .
version=$(usr/bin/snowflake-proxy -version 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
echo "snowflake-proxy $version"
[[ $version == 2.5.1 ]] || { echo "another version than the one looked at" >&2; exit 1; }

# A broker that parks each poll for some seconds. It has a client for the third one, whose
# data channel will not open, since nothing is at its address.
cat >broker.py <<'PYTHON'
import http.server, json, subprocess, sys, time

parked, offer_at = float(sys.argv[1]), int(sys.argv[2])
sdp = "".join(line + "\r\n" for line in [
    "v=0", "o=- 7 2 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0",
    "a=candidate:1 1 udp 2130706431 203.0.113.9 40000 typ host",
    "a=ice-ufrag:wxyz", "a=ice-pwd:zyxwvutsrqponmlkjihgfedc",
    "a=fingerprint:sha-256 " + ":".join(["5C"] * 32),
    "a=setup:actpass", "a=mid:0", "a=sctp-port:5000"])
polls = []

class Broker(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        said = {"Status": "success"}
        if self.path == "/proxy":
            polls.append(time.monotonic())
            said = {"Status": "no match", "Offer": "", "NAT": ""}
            if len(polls) == offer_at:
                offer = json.dumps({"type": "offer", "sdp": sdp})
                said = {"Status": "client match", "Offer": offer, "NAT": "unknown",
                        "RelayURL": "wss://snowflake.torproject.net/"}
            else:
                time.sleep(parked)
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Broker)
server.timeout = 60
subprocess.Popen(
    ["usr/bin/snowflake-proxy", "-broker", f"http://127.0.0.1:{server.server_port}/",
     "-stun", "stun:127.0.0.1:3478"], stderr=subprocess.DEVNULL)
while len(polls) < 5:
    server.handle_request()
print(*(round(later - earlier) for earlier, later in zip(polls, polls[1:])))
PYTHON

pauses() { # seconds that polls are parked, number of the poll that gets a client
    unshare --net --pid --fork --kill-child --mount-proc \
        sh -c 'ip link set lo up && python3 broker.py "$@"' - "$@"
}

# Runs in its own network and process namespaces, which end with it.
seen=$(
    echo "replies at once: from poll to poll $(pauses 0 0) s"
    echo "replies after 7 s: from poll to poll $(pauses 7 0) s"
    echo "a client at the third: from poll to poll $(pauses 0 3) s"
)
echo "$seen"
[[ $seen == "replies at once: from poll to poll 5 5 5 5 s
replies after 7 s: from poll to poll 7 7 7 7 s
a client at the third: from poll to poll 5 5 25 5 s" ]] ||
    { echo "this has changed" >&2; exit 1; }

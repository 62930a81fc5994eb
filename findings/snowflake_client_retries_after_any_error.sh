#!/usr/bin/env bash
# A broker that answers a client's poll with an error: does the client heed which one?
#
# Guess: the client knows the texts of the protocol. After "no snowflake proxies currently
# available" it tries again soon, and after "bridge with requested fingerprint is unknown to
# the broker", which no later try will change, it gives up or waits for longer. A text that
# it does not know might be taken for no answer at all.
#
# Seen with snowflake-client 2.5.1 (Debian 12): all texts are alike to it, also one that no
# broker has sent before. Its log has the text, and it polls again after 10 s, with the same
# NAT type and fingerprint, for as long as it runs.
#
# So an error may say in plain words what is wrong, since people read it in the log of
# their client. And a client whose bridge takes no new clients costs a request every 10 s,
# whatever it is told: the broker cannot send it away for longer.
#
# Needs root for its own network namespace, apt-get (Debian 12) and python3. Takes a minute.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download snowflake-client
for package in *.deb; do dpkg -x "$package" .; done

version=$(usr/bin/snowflake-client -version 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
echo "snowflake-client $version"
[[ $version == 2.5.1 ]] || { echo "another version than that looked at" >&2; exit 1; }

cat >refuse.py <<'PYTHON'
import http.server, json, os, socket, subprocess, threading, time

TEXTS = [
    "no snowflake proxies currently available",
    "bridge with requested fingerprint is unknown to the broker",
    "bridge with requested fingerprint takes no new clients",
    "timed out waiting for answer!",
    "",
]
polls = []

class Broker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        poll = json.loads(self.rfile.read(int(self.headers["Content-Length"])).split(b"\n", 1)[1])
        polls.append((time.monotonic(), poll["nat"], poll["fingerprint"]))
        text = TEXTS[min(len(polls), len(TEXTS)) - 1]
        body = json.dumps({"error": text} if text else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 8001), Broker)
threading.Thread(target=server.serve_forever, daemon=True).start()

client = subprocess.Popen(
    ["usr/bin/snowflake-client", "-url", "http://127.0.0.1:8001/", "-max", "1",
     "-ice", "stun:127.0.0.1:3478", "-log", "log", "-log-to-state-dir", "-unsafe-logging"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    env=dict(os.environ, TOR_PT_MANAGED_TRANSPORT_VER="1",
             TOR_PT_CLIENT_TRANSPORTS="snowflake", TOR_PT_STATE_LOCATION="state"))
for line in client.stdout:
    if line.startswith("CMETHOD "):
        host, port = line.split()[3].split(":")
        break
socks = socket.create_connection((host, int(port)))
socks.sendall(b"\x05\x01\x00")
socks.recv(2)
socks.sendall(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x01")

deadline = time.monotonic() + 120
while len(polls) <= len(TEXTS) and time.monotonic() < deadline:
    time.sleep(0.2)
log = open("state/log").read()
for text, (before, *asked), (after, *again) in zip(TEXTS, polls, polls[1:]):
    seconds = round((after - before) / 5) * 5
    logged = "logged" if text and f": {text}" in log else "not logged"
    same = "the same" if asked == again else "another"
    print(f"{text or '(nothing)'}: {logged}, {same} poll after {seconds} s")
PYTHON

# Runs in its own network and process namespaces, which end with it.
seen=$(unshare --net --pid --fork --kill-child --mount-proc \
    sh -c 'ip link set lo up && python3 refuse.py')
echo "$seen"
[[ $seen == "no snowflake proxies currently available: logged, the same poll after 10 s
bridge with requested fingerprint is unknown to the broker: logged, the same poll after 10 s
bridge with requested fingerprint takes no new clients: logged, the same poll after 10 s
timed out waiting for answer!: logged, the same poll after 10 s
(nothing): not logged, the same poll after 10 s" ]] || { echo "this has changed" >&2; exit 1; }

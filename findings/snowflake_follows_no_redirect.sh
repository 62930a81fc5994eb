#!/usr/bin/env bash
# A broker that moves and leaves a redirect (308) behind.
#
# Guess: Snowflake's client and proxy follow it and repeat the POST with its body: both are
# written in Go, whose HTTP client does so for 307 and 308.
#
# Seen with snowflake-client and snowflake-proxy 2.5.1 (Debian 12): neither does. Both use
# Go's transport below the client, which does not follow redirects. The proxy takes the 308
# for an answer, finds no JSON in it, and keeps polling every 5 s; the client retries the
# same place.
#
# So a broker can be moved only by answering at both places. And a reverse proxy that
# redirects HTTP to HTTPS, or one host name to another, locks out everyone who has the old
# URL, although a browser shows that it works.
#
# Needs root for its own network namespace, apt-get (Debian 12) and python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download snowflake-client snowflake-proxy
for package in *.deb; do dpkg -x "$package" .; done

versions=$(for program in client proxy; do
    echo "snowflake-$program $("usr/bin/snowflake-$program" -version 2>&1 |
        grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)"
done)
echo "$versions"
[[ $versions == "snowflake-client 2.5.1
snowflake-proxy 2.5.1" ]] || { echo "other versions than those looked at" >&2; exit 1; }

# The old and the new place of a broker, and a client and a proxy that know only the old
# one.
cat >move.py <<'PYTHON'
import http.server, os, socket, subprocess, threading, time

asked = set()

class Broker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        old = self.server.server_port == 8001
        asked.add((self.path, "old" if old else "new"))
        body = b"" if old else b'{"Status":"no match","Offer":"","NAT":"","error":"none"}'
        self.send_response(308 if old else 200)
        if old:
            self.send_header("Location", "http://127.0.0.1:8002" + self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

for port in (8001, 8002):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Broker)
    threading.Thread(target=server.serve_forever, daemon=True).start()

common = ["-stun", "stun:127.0.0.1:3478"]
subprocess.Popen(
    ["usr/bin/snowflake-proxy", "-broker", "http://127.0.0.1:8001/", *common],
    stderr=subprocess.DEVNULL)
client = subprocess.Popen(
    ["usr/bin/snowflake-client", "-url", "http://127.0.0.1:8001/", "-ice", common[1]],
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

deadline = time.monotonic() + 60
while {path for path, _ in asked} < {"/client", "/proxy"} and time.monotonic() < deadline:
    time.sleep(0.2)
time.sleep(3)
for path, place in sorted(asked):
    print(path, "asked at the", place, "place")
PYTHON

# Runs in its own network and process namespaces, which end with it.
seen=$(unshare --net --pid --fork --kill-child --mount-proc \
    sh -c 'ip link set lo up && python3 move.py')
echo "$seen"
[[ $seen == "/client asked at the old place
/proxy asked at the old place" ]] || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# The reply of Snowflake's client to an application, as long as there is no proxy.
#
# Guess: the client is a SOCKS proxy, so it replies "succeeded" once the application's bytes
# can reach a bridge. Without a proxy it keeps the application waiting, or replies with an
# error, as RFC 1928 has them for a host that cannot be reached.
#
# Seen with snowflake-client 2.5.1 (Debian 12), whose broker does not exist: it replies
# "succeeded" at once, takes what the application writes, and keeps the connection open. The
# application is not told that there is no proxy, however long it waits (15 s here).
#
# So whoever waits for the SOCKS reply, such as a test or a probe that looks whether a broker
# can be used, learns nothing: only bytes that come back from the bridge prove a connection.
#
# Needs root for its own network namespace, apt-get (Debian 12) and python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download snowflake-client
dpkg -x snowflake-client_*.deb .
version=$(usr/bin/snowflake-client -version 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
echo "snowflake-client $version"
[[ $version == 2.5.1 ]] || { echo "another version than the one looked at" >&2; exit 1; }

cat >application.py <<'PYTHON'
import os, socket, subprocess, time

client = subprocess.Popen(
    ["usr/bin/snowflake-client", "-url", "http://127.0.0.1:9/", "-ice", "stun:127.0.0.1:3478"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    env=dict(os.environ, TOR_PT_MANAGED_TRANSPORT_VER="1",
             TOR_PT_CLIENT_TRANSPORTS="snowflake", TOR_PT_STATE_LOCATION="state"))
for line in client.stdout:
    if line.startswith("CMETHOD "):
        host, port = line.split()[3].split(":")
        break
socks = socket.create_connection((host, int(port)), timeout=15)
socks.sendall(bytes([5, 1, 0]))
socks.recv(2)
began = time.monotonic()
socks.sendall(bytes([5, 1, 0, 1, 192, 0, 2, 1, 0, 1]))
code = socks.recv(10)[1]
print("reply", code, "within a second" if time.monotonic() - began < 1 else "later")
socks.sendall(b"some bytes for the bridge")
try:
    print("then", socks.recv(1) or "the end")
except TimeoutError:
    print("then nothing for 15 s")
PYTHON

# Runs in its own network and process namespaces, which end with it.
seen=$(unshare --net --pid --fork --kill-child --mount-proc \
    sh -c 'ip link set lo up && python3 application.py')
echo "$seen"
[[ $seen == "reply 0 within a second
then nothing for 15 s" ]] || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# The sender in HAProxy's health checks over the PROXY protocol, versions 1 and 2.
#
# Guess: a check is nobody's request, so both versions say that the load balancer speaks for
# itself: `PROXY UNKNOWN` in version 1, LOCAL in version 2.
#
# Seen with HAProxy 2.6.12 (Debian 12, haproxy 2.6.12-1+deb12u*): version 2 does. Version 1
# sends TCP4 with HAProxy's own address, as if HAProxy were a client. A server that counts
# or limits by the address in the header takes each check for a client at the load
# balancer's address.
#
# Needs apt-get (Debian 12) and python3; listens only on the loopback.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download \
    haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
for package in *.deb; do dpkg -x "$package" .; done
libraries=$(find "$PWD/usr/lib" -maxdepth 1 -type d -printf '%p:')
haproxy=(env "LD_LIBRARY_PATH=$libraries" "$folder/usr/sbin/haproxy")

version=$("${haproxy[@]}" -v | sed -n 's/^HAProxy version \([0-9.]*\).*/\1/p')
echo "HAProxy $version"
[[ $version == 2.6.12 ]] || { echo "another version than the one looked at" >&2; exit 1; }

# Prints the first bytes of the first connection to its port.
cat >listen.py <<'PYTHON'
import socket, sys

listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(20)
with open(sys.argv[1], "w") as port:
    port.write(str(listener.getsockname()[1]))
stream, _ = listener.accept()
stream.settimeout(5)
first = stream.recv(64)
if first.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
    print("version 2,", {0: "LOCAL", 1: "PROXY"}[first[12] & 0xF])
else:
    words = first.split(b"\r\n")[0].decode().split(" ")
    print("version 1,", *words[1:4])
PYTHON

# The header that a check with this option sends.
check() {
    python3 listen.py "port-$1" >"said-$1" &
    local listener=$!
    until [[ -s port-$1 ]]; do sleep 0.1; done
    cat >"config-$1" <<CONFIG
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen checked
    bind unix@$folder/$1.sock
    server one 127.0.0.1:$(cat "port-$1") $1 check inter 500
CONFIG
    "${haproxy[@]}" -db -f "config-$1" >/dev/null 2>&1 &
    local balancer=$!
    wait "$listener"
    kill "$balancer"
    cat "said-$1"
}

seen=$(check send-proxy; check send-proxy-v2)
echo "$seen"
[[ $seen == $'version 1, TCP4 127.0.0.1 127.0.0.1\nversion 2, LOCAL' ]] ||
    { echo "this has changed" >&2; exit 1; }

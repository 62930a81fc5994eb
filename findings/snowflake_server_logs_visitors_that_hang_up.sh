#!/usr/bin/env bash
# A visitor that wants to know whether a Snowflake bridge can be reached: it makes the
# WebSocket upgrade and leaves.
#
# Guess: the bridge takes only proxies, so it wants what they send, a client_ip in the URL or
# a subprotocol, and answers others with an error. How the visitor leaves does not matter.
#
# Seen with the WebSocket side of the server (Debian 12's golang-snowflake-dev 2.5.1 and
# golang-github-gorilla-websocket-dev 1.5.0, which the server is made of; Debian has no
# package of the server itself): whoever asks gets the upgrade, at every path, with no
# client_ip, no subprotocol and no Origin. But to hang up is an error to it, and only a
# visitor that sends a close frame before is at its end (io.EOF). The server does not log the
# latter, and logs "reading token" with anything else.
#
# So a probe every 30 s that hangs up puts a line into the bridge's log every 30 s, and one
# that closes the WebSocket leaves no trace.
#
# Needs apt-get (Debian 12) and python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

packages=(golang-snowflake-dev golang-github-gorilla-websocket-dev golang-1.19-go golang-1.19-src)
apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}"
for package in *.deb; do dpkg -x "$package" .; done

versions=$(for package in golang-snowflake-dev golang-github-gorilla-websocket-dev; do
    dpkg-deb -f "$package"_*.deb Package Version | paste -s -d ' ' | sed 's/[A-Z][a-z]*: //g'
done)
echo "$versions"
[[ $versions == "golang-snowflake-dev 2.5.1-"*"
golang-github-gorilla-websocket-dev 1.5.0-"* ]] || {
    echo "other versions than those looked at" >&2
    exit 1
}

# Says how each connection looks to who reads a proxy's first bytes from it.
cat >bridge.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"

	"git.torproject.org/pluggable-transports/snowflake.git/common/websocketconn"
	"github.com/gorilla/websocket"
)

func main() {
	anyone := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := anyone.Upgrade(w, r, nil)
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		conn := websocketconn.New(ws)
		_, err = conn.Read(make([]byte, 8))
		fmt.Println(r.URL.Path+":", err)
		conn.Close()
	})))
}
GO

GOROOT=$folder/usr/lib/go-1.19
export GOROOT GOPATH=$folder/usr/share/gocode GO111MODULE=off GOCACHE=$folder/cache
export GOFLAGS=-trimpath CGO_ENABLED=0
"$GOROOT/bin/go" build -o bridge bridge.go

cat >visit.py <<'PYTHON'
import os, socket, subprocess

bridge = subprocess.Popen(["./bridge"], stdout=subprocess.PIPE, text=True)
port = int(bridge.stdout.readline())

def visit(path, farewell):
    visitor = socket.create_connection(("127.0.0.1", port))
    visitor.sendall(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    head = visitor.recv(4096).decode()
    visitor.sendall(farewell)
    visitor.close()
    print(head.split("\r\n")[0], bridge.stdout.readline().strip())

visit("/hangs/up", b"")
visit("/closes", b"\x88\x80" + bytes(4))
visit("/closes/with/1000", b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big"))
bridge.kill()
PYTHON

seen=$(unshare --net --pid --fork --kill-child --mount-proc \
    sh -c 'ip link set lo up && python3 visit.py')
echo "$seen"
[[ $seen == "HTTP/1.1 101 Switching Protocols /hangs/up: websocket: close 1006 (abnormal closure): unexpected EOF
HTTP/1.1 101 Switching Protocols /closes: EOF
HTTP/1.1 101 Switching Protocols /closes/with/1000: EOF" ]] || {
    echo "this has changed" >&2
    exit 1
}

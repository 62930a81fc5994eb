#!/usr/bin/env bash
# A long poll whose sender has closed its connection: does the load balancer tell the
# server?
#
# Guess: HAProxy and nginx both do, since event-driven programs watch both sides. Only
# programs with a thread per request (Apache, Varnish) cannot.
#
# Seen with HAProxy 2.6.12 and nginx 1.22.1 (Debian 12): nginx closes its connection to the
# server at once. HAProxy keeps waiting for the response until the server has answered or
# `timeout server` is over. With `option abortonclose`, which the manual describes as an
# option for queues, it tells the server, too.
#
# So behind HAProxy, a Snowflake broker counts proxies that have left as waiting, for up to
# 10 s, and hands clients to them. `option abortonclose` belongs in the configuration
# recommended to operators. Like nginx, HAProxy then treats a peer that has only closed its
# sending side as gone.
#
# Needs apt-get (Debian 12) and python3; listens only on the loopback.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download \
    nginx haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
for package in *.deb; do dpkg -x "$package" .; done
libraries=$(find "$PWD/usr/lib" -maxdepth 1 -type d -printf '%p:')
haproxy=(env "LD_LIBRARY_PATH=$libraries" "$folder/usr/sbin/haproxy")
nginx=$folder/usr/sbin/nginx

versions="HAProxy $("${haproxy[@]}" -v | sed -n 's/^HAProxy version \([0-9.]*\).*/\1/p')"
versions+=", nginx $("$nginx" -v 2>&1 | sed 's|.*/||')"
echo "$versions"
[[ $versions == "HAProxy 2.6.12, nginx 1.22.1" ]] ||
    { echo "other versions than those looked at" >&2; exit 1; }

# A server that answers no poll within 5 s, and polls whose senders leave after 1 s.
cat >poll.py <<'PYTHON'
import socket, threading, time

server = socket.create_server(("127.0.0.1", 0))
with open("port", "w") as port:
    port.write(str(server.getsockname()[1]))
told = {}

def wait_for_the_end(stream):
    request = b""
    while not request.endswith(b"poll"):
        request += stream.recv(4096)
    way = request.split()[1].decode()[1:]
    stream.settimeout(5)
    try:
        stream.recv(1)
        told[way] = "told"
    except ConnectionResetError:
        told[way] = "told"
    except TimeoutError:
        told[way] = "not told within 5 s"

def serve():
    while True:
        threading.Thread(target=wait_for_the_end, args=server.accept()[:1], daemon=True).start()

threading.Thread(target=serve, daemon=True).start()

def poll(path, way, end):
    stream = socket.socket(socket.AF_UNIX)
    while stream.connect_ex(path):
        time.sleep(0.1)
    head = f"POST /{way},{end} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    stream.sendall(head.encode() + b"poll")
    time.sleep(1)
    if end == "closed":
        stream.close()
    else:
        stream.shutdown(socket.SHUT_WR)
        time.sleep(10)

polls = [threading.Thread(target=poll, args=(f"{way}.sock", way, end))
         for way in ("nginx", "haproxy", "haproxy-abortonclose")
         for end in ("closed", "half-closed")]
for each in polls:
    each.start()
for each in polls:
    each.join()
deadline = time.monotonic() + 20
while len(told) < 6 and time.monotonic() < deadline:
    time.sleep(0.1)
for way in sorted(told):
    print(f"{way}: {told[way]}")
PYTHON

python3 poll.py >seen &
poll=$!
until [[ -s port ]]; do sleep 0.1; done
server=127.0.0.1:$(cat port)

cat >nginx.conf <<CONFIG
daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path temporary;
    proxy_temp_path temporary;
    fastcgi_temp_path temporary;
    uwsgi_temp_path temporary;
    scgi_temp_path temporary;
    server {
        listen unix:$folder/nginx.sock;
        location / { proxy_pass http://$server; }
    }
}
CONFIG
"$nginx" -p "$folder" -c "$folder/nginx.conf" 2>/dev/null &

cat >haproxy.cfg <<CONFIG
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen plain
    bind unix@$folder/haproxy.sock
    server one $server
listen abortonclose
    bind unix@$folder/haproxy-abortonclose.sock
    option abortonclose
    server one $server
CONFIG
"${haproxy[@]}" -db -f haproxy.cfg >/dev/null 2>&1 &

wait "$poll"
cat seen
[[ $(cat seen) == "haproxy,closed: not told within 5 s
haproxy,half-closed: not told within 5 s
haproxy-abortonclose,closed: told
haproxy-abortonclose,half-closed: told
nginx,closed: told
nginx,half-closed: told" ]] || { echo "this has changed" >&2; exit 1; }

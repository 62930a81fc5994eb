#!/usr/bin/env bash
# An IPv4 client on a dual-stack listener ([::]): the form in which reverse proxies forward
# its address.
#
# Guess: 192.0.2.1, everywhere. The socket reports `::ffff:192.0.2.1`, but no program passes
# that on.
#
# Seen on Debian 12: nginx 1.22.1 and HAProxy 2.6.12 do, in X-Forwarded-For, and HAProxy
# also in the PROXY protocol: `TCP6 ::ffff:192.0.2.1`, as for an IPv6 client. Varnish 7.1.1
# and Caddy 2.6.2 write the plain address.
#
# So a program that limits, counts or locates by a forwarded address must unmap it first,
# whatever its own sockets are. Otherwise one client has two names, depending on the
# listener; all IPv4 clients share the IPv6 network ::/64, and so one quota; and country
# databases that do not know the mapped form find nothing.
#
# Needs root for its own network namespace, apt-get (Debian 12), a C compiler (Varnish
# compiles its configuration), ip, curl and python3.
set -euo pipefail

folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download nginx caddy varnish libvarnishapi3 \
    haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(find "$PWD/usr/lib" -maxdepth 2 -type d -printf '%p:')
export LD_LIBRARY_PATH

versions="nginx $(usr/sbin/nginx -v 2>&1 | sed 's|.*/||')"
versions+=", HAProxy $(usr/sbin/haproxy -v | sed -n 's/^HAProxy version \([0-9.]*\).*/\1/p')"
versions+=", Varnish $(usr/sbin/varnishd -V 2>&1 | sed -n 's/.*varnish-\([0-9.]*\).*/\1/p')"
versions+=", Caddy $(usr/bin/caddy version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)"
echo "$versions"
[[ $versions == "nginx 1.22.1, HAProxy 2.6.12, Varnish 7.1.1, Caddy 2.6.2" ]] ||
    { echo "other versions than those looked at" >&2; exit 1; }

cat >nginx.conf <<'CONFIG'
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
        listen [::]:8001 ipv6only=off;
        location / {
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_pass http://127.0.0.1:8000;
        }
    }
}
CONFIG

cat >haproxy.cfg <<'CONFIG'
defaults
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen header
    mode http
    bind [::]:8002 v4v6
    option forwardfor
    server one 127.0.0.1:8000
listen proxy_protocol
    mode tcp
    bind [::]:8003 v4v6
    server one 127.0.0.1:8000 send-proxy
CONFIG

cat >varnish.vcl <<'CONFIG'
vcl 4.1;
backend one { .host = "127.0.0.1"; .port = "8000"; }
CONFIG

cat >Caddyfile <<'CONFIG'
{
    admin off
    auto_https off
}
http://:8005 {
    reverse_proxy 127.0.0.1:8000
}
CONFIG

# Returns the line that names the client.
cat >server.py <<'PYTHON'
import re, socket

server = socket.create_server(("127.0.0.1", 8000))
while True:
    stream, _ = server.accept()
    request = b""
    while b"\r\n\r\n" not in request and (more := stream.recv(4096)):
        request += more
    if request:
        found = re.search(rb"(?i)^x-forwarded-for: (\S+)|^PROXY (\S+ \S+)", request, re.M)
        body = found[1] or found[2]
        stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                       % (len(body), body))
    stream.close()
PYTHON

cat >ask.sh <<'SHELL'
ip link set lo up
ip address add 192.0.2.1/32 dev lo
python3 server.py &
usr/sbin/nginx -p "$PWD" -c "$PWD/nginx.conf" 2>/dev/null &
usr/sbin/haproxy -db -f haproxy.cfg >/dev/null 2>&1 &
usr/sbin/varnishd -F -n "$PWD/varnish" -a :8004 -f "$PWD/varnish.vcl" -j none >/dev/null 2>&1 &
HOME=$PWD usr/bin/caddy run --config Caddyfile --adapter caddyfile 2>/dev/null &
listening() {
    until ss -Hltn "sport = $1" | grep -q .; do sleep 0.1; done
}
ask() {
    listening "$2"
    echo "$1: $(env -u LD_LIBRARY_PATH curl --silent --fail --retry 5 --retry-all-errors \
        --interface 192.0.2.1 "http://192.0.2.1:$2/")"
}
listening 8000
ask nginx 8001
ask HAProxy 8002
ask "HAProxy, PROXY" 8003
ask Varnish 8004
ask Caddy 8005
SHELL

# Runs in its own network and process namespaces, which end with it.
seen=$(unshare --net --pid --fork --kill-child --mount-proc bash ask.sh)
echo "$seen"
[[ $seen == "nginx: ::ffff:192.0.2.1
HAProxy: ::ffff:192.0.2.1
HAProxy, PROXY: TCP6 ::ffff:192.0.2.1
Varnish: 192.0.2.1
Caddy: 192.0.2.1" ]] || { echo "this has changed" >&2; exit 1; }

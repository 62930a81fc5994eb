#!/usr/bin/env bash
# The X-Forwarded-For header of a reverse proxy that has taken the client's true address
# from that same header (nginx's realip module, Apache's mod_remoteip).
#
# Guess: the same as without the module, namely the received entries plus the proxy's peer:
# "client, cdn, balancer". The module changes only which address the program itself regards
# as the client.
#
# Seen with nginx 1.22.1 and Apache httpd 2.4.71 (Debian 12): nginx's
# $proxy_add_x_forwarded_for appends the address that the module found: "client, cdn,
# client". The balancer is missing, and the client appears twice. Apache removes the
# addresses that it has used from the header, then appends the client: of three hops, only
# "client" is left.
#
# So the number of trusted hops can describe only one such proxy. Behind nginx with the
# module, the last entry is the client, and the one before it is the CDN; with a count of 2,
# every client behind the CDN becomes that one address. Behind Apache, there is no second
# entry. Configure 1 hop with either module, and the true number of hops only without it.
#
# Needs root for its own network namespace, apt-get (Debian 12), ip and curl.
set -euo pipefail

folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download nginx apache2-bin libapr1 libaprutil1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu
nginx=$folder/usr/sbin/nginx
apache=$folder/usr/sbin/apache2

versions="nginx $("$nginx" -v 2>&1 | sed 's|.*/||')"
versions+=", Apache $("$apache" -v | sed -n 's|^Server version: Apache/\([0-9.]*\).*|\1|p')"
echo "$versions"
[[ $versions == "nginx 1.22.1, Apache 2.4.71" ]] ||
    { echo "other versions than those looked at" >&2; exit 1; }

# nginx is also the server behind both, and returns the header that it received.
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
    proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
    server {
        listen 127.0.0.1:8000;
        return 200 "\$http_x_forwarded_for\n";
    }
    server {
        listen 127.0.0.1:8001;
        location / { proxy_pass http://127.0.0.1:8000; }
    }
    server {
        listen 127.0.0.1:8002;
        set_real_ip_from 127.0.0.1;
        set_real_ip_from 198.51.100.0/24;
        real_ip_header X-Forwarded-For;
        real_ip_recursive on;
        location / { proxy_pass http://127.0.0.1:8000; }
    }
}
CONFIG

modules=$folder/usr/lib/apache2/modules
cat >apache.conf <<CONFIG
ServerRoot $folder
ServerName localhost
PidFile apache.pid
User nobody
Group nogroup
ErrorLog /dev/stderr
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so
LoadModule remoteip_module $modules/mod_remoteip.so
Listen 127.0.0.1:8003
Listen 127.0.0.1:8004
ProxyPass / http://127.0.0.1:8000/
<VirtualHost *:8004>
    RemoteIPHeader X-Forwarded-For
    RemoteIPInternalProxy 127.0.0.1 198.51.100.0/24
    ProxyPass / http://127.0.0.1:8000/
</VirtualHost>
CONFIG

# The balancer's request reaches each proxy from 127.0.0.1.
cat >ask.sh <<'SHELL'
ip link set lo up
"$1" -p "$PWD" -c "$PWD/nginx.conf" 2>/dev/null &
"$2" -f "$PWD/apache.conf" -DFOREGROUND 2>/dev/null &
ask() {
    local said
    said=$(curl --silent --retry 20 --retry-connrefused --retry-delay 1 \
        --header "X-Forwarded-For: 203.0.113.9, 198.51.100.7" "http://127.0.0.1:$2/")
    said=${said//203.0.113.9/client}
    said=${said//198.51.100.7/cdn}
    echo "$1: ${said//127.0.0.1/balancer}"
}
ask "nginx" 8001
ask "nginx with its module" 8002
ask "Apache" 8003
ask "Apache with its module" 8004
SHELL

# Runs in its own network and process namespaces, which end with it.
seen=$(unshare --net --pid --fork --kill-child --mount-proc bash ask.sh "$nginx" "$apache")
echo "$seen"
[[ $seen == "nginx: client, cdn, balancer
nginx with its module: client, cdn, client
Apache: client, cdn, balancer
Apache with its module: client" ]] || { echo "this has changed" >&2; exit 1; }

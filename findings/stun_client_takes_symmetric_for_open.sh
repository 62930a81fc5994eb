#!/usr/bin/env bash
# Determining the kind of a NAT with a STUN server that has only one address.
#
# Guess: it cannot be determined, and the client says so. RFC 5780's tests need a second
# address; a server without one sends no OTHER-ADDRESS (nor CHANGED-ADDRESS to clients of
# RFC 3489) and refuses CHANGE-REQUEST.
#
# Seen with coturn 4.6.1 and stun-client 0.97 (Debian 12): coturn with one address omits
# OTHER-ADDRESS and answers CHANGE-REQUEST with 420, but in response to an RFC 3489 request
# it names *its own* address and port as CHANGED-ADDRESS. The client asks there again, finds
# the same mapping, apparently counts the 420 as an answer that passed the filter, and
# reports a symmetric NAT as `Independent Mapping, Independent Filter`: the most open kind.
# With a second address, the same client and NAT result in `Dependent Mapping`.
#
# So a STUN server for NAT tests needs two addresses, and a volunteer's report about a NAT
# from such a client is worthless if the server is unknown. A probe with one address must
# find out by connecting, not by STUN.
#
# Needs root for its own network namespaces, apt-get (Debian 12) and ip.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download \
    coturn stun-client nftables libnftables1 libnftnl11 libjansson4 libmariadb3 libpq5 \
    libhiredis0.14 libevent-core-2.1-7 libevent-extra-2.1-7 libevent-openssl-2.1-7 \
    libevent-pthreads-2.1-7
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu

versions="coturn $(usr/bin/turnserver --version 2>&1 | tail -n 1)"
versions+=", stun-client $(dpkg-deb --field stun-client_*.deb Version | cut -d~ -f1)"
echo "$versions"
[[ $versions == "coturn 4.6.1, stun-client 0.97" ]] ||
    { echo "other versions than those looked at" >&2; exit 1; }

# A host behind a NAT that maps each connection to a random port, and a STUN server with
# these addresses.
cat >network.sh <<'SHELL'
set -euo pipefail
mount -t tmpfs none /run
mkdir /run/netns
for name in inside router outside; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
join() { # namespace, interface, address
    ip -n "$1" link set dev "$2" up
    ip -n "$1" address add "$3" dev "$2"
}
ip link add lan netns router type veth peer name home netns inside
ip link add wan netns router type veth peer name far netns outside
join router lan 10.0.0.1/24
join inside home 10.0.0.2/24
join router wan 203.0.113.1/24
join outside far 203.0.113.2/24
ip -n outside address add 203.0.113.3/24 dev far
ip -n inside route add default via 10.0.0.1
ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
ip netns exec router usr/sbin/nft "
    add table ip t
    add chain ip t out { type nat hook postrouting priority srcnat; }
    add rule ip t out oifname wan masquerade fully-random
    add chain ip t to_itself { type filter hook input priority filter; policy drop; }"
addresses=("${@/#/--listening-ip=}")
ip netns exec outside usr/bin/turnserver -n "${addresses[@]}" --stun-only --no-cli --no-tls \
    --no-dtls --log-file=stdout --pidfile=/run/pid --db=/run/db >/dev/null 2>&1 &
until ip netns exec outside ss -Hlun sport = 3478 | grep -q .; do sleep 0.1; done
ip netns exec inside usr/bin/stun 203.0.113.2 2>&1 | sed -n 's/^Primary: \(.*\), random port.*/\1/p'
SHELL

# Runs in its own network and process namespaces, which end with it.
apart() {
    unshare --net --pid --fork --kill-child --mount-proc "$@"
}

seen=$(
    echo "one address: $(apart bash network.sh 203.0.113.2)"
    echo "two addresses: $(apart bash network.sh 203.0.113.2 203.0.113.3)"
)
echo "$seen"
[[ $seen == "one address: Independent Mapping, Independent Filter
two addresses: Dependent Mapping" ]] || { echo "this has changed" >&2; exit 1; }

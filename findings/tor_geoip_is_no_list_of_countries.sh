#!/usr/bin/env bash
# The country codes in Tor's geoip files, which Snowflake's broker reads.
#
# Guess: ISO 3166 codes, `??` for unknown, and the registries' codes for regions (EU, AP).
# Networks that only carry other addresses (6to4, 2002::/16, whose next 32 bits are the IPv4
# address of any host) are in no country, like Teredo's.
#
# Seen with tor-geoipdb 0.4.9.11 (Debian 12, data of 2026-06-25): all of 6to4 is one line,
# with Japan as its country; Teredo is `??`. In addition to EU and AP, there are UK next to
# GB (in both files), countries that ended years ago (AN, CS, SU) and codes that never were
# countries (AB, OS, UN, ZZ).
#
# So a client with a 6to4 address anywhere counts as Japanese, and may be refused or counted
# as such: extract its IPv4 address and look that up. A table, label or policy by country
# must accept any two letters; one based on ISO's list drops lines, and one that means
# Britain must include GB and UK.
#
# Needs apt-get (Debian 12), python3 with venv, and pip.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download tor-geoipdb
dpkg -x tor-geoipdb_*.deb .
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check pycountry==26.2.16

version=$(dpkg-deb --field tor-geoipdb_*.deb Version | cut -d- -f1)
echo "tor-geoipdb $version"
[[ $version == 0.4.9.11 ]] || { echo "another version than the one looked at" >&2; exit 1; }

cat >codes.py <<'PYTHON'
import pycountry

iso = {country.alpha_2 for country in pycountry.countries}
for name in ("geoip", "geoip6"):
    with open("usr/share/tor/" + name) as file:
        rows = [line.strip().split(",") for line in file if line.strip() and line[0] != "#"]
    print(f"{name}, not of ISO 3166:", *sorted({row[2] for row in rows} - iso))
    for what, start in ("6to4", "2002:"), ("Teredo", "2001:0:"):
        for first, last, code in rows if name == "geoip6" else ():
            if last.startswith(start):
                print(f"{what}: {first} to {last} is {code}")
PYTHON

seen=$(python/bin/python codes.py)
echo "$seen"
[[ $seen == "geoip, not of ISO 3166: ?? AN AP CS EU UK
geoip6, not of ISO 3166: ?? AB AN AP EU OS SU UK UN ZZ
6to4: 2002:: to 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff is JP
Teredo: 2001:: to 2001:0:ffff:ffff:ffff:ffff:ffff:ffff is ??" ]] ||
    { echo "this has changed" >&2; exit 1; }

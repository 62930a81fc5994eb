#!/usr/bin/env bash
# The exit code of `systemd-analyze verify` for a unit with a misspelled setting.
#
# Guess: nonzero, as with every checker: it prints "Unknown key ... ignoring". And
# `--recursive-errors`, which selects the *other* units whose errors count, makes no
# difference for a unit that depends on no other.
#
# Seen with systemd 252 (Debian 12): 0, for a misspelled key and for invalid values
# (`ProtectHome=maybe`), so that the intended hardening is missing although the pipeline is
# green. With `--recursive-errors=` it is 1, for each value of that option, including `no`.
# A command that does not exist results in 1 either way.
#
# So a check of units must either pass `--recursive-errors=no` (systemd 250 and newer) or
# fail if anything is printed.
#
# Needs apt-get (Debian 12); no running systemd.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download systemd libsystemd-shared
for package in *.deb; do dpkg -x "$package" .; done
libraries=$folder/usr/lib/x86_64-linux-gnu:$folder/usr/lib/x86_64-linux-gnu/systemd
analyze=(env "LD_LIBRARY_PATH=$libraries" "$folder/usr/bin/systemd-analyze")

version=$("${analyze[@]}" --version | sed -n 's/^systemd \([0-9]*\).*/\1/p')
echo "systemd $version"
[[ $version == 252 ]] || { echo "another version than the one looked at" >&2; exit 1; }

# The exit codes of `verify` for a service with this line, without and with the option.
verified() {
    printf '[Service]\nExecStart=/bin/true\n%s\n' "$1" >one.service
    local codes=()
    for option in '' --recursive-errors=no --recursive-errors=yes; do
        code=0
        "${analyze[@]}" verify --man=no $option ./one.service >/dev/null 2>&1 || code=$?
        codes+=("$code")
    done
    echo "$1: ${codes[*]}"
}

seen=$(
    verified ProtectSystem=strict
    verified ProtectSytem=strict
    verified ProtectHome=maybe
    verified ExecStartPre=/bin/not-there
)
echo "$seen"
[[ $seen == "ProtectSystem=strict: 0 0 0
ProtectSytem=strict: 0 1 1
ProtectHome=maybe: 0 1 1
ExecStartPre=/bin/not-there: 1 1 1" ]] || { echo "this has changed" >&2; exit 1; }

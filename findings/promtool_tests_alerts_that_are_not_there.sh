#!/usr/bin/env bash
# A unit test of an alert that no rule defines.
#
# Guess: promtool fails, since the test names an alert that does not exist. A pattern in
# `rule_files` that matches no file fails, too.
#
# Seen with promtool 2.42.0 (Debian 12): `SUCCESS`, exit code 0, for both, as long as the
# test expects no alert. A test that an alert does *not* fire passes forever after the
# alert is renamed, misspelled in the test, or the rules are moved. There is a warning about
# the files, but none about the alert.
#
# So every test that an alert stays silent needs a twin in which the same alert fires, or a
# separate check that the names in the tests exist in the rules.
#
# Needs apt-get (Debian 12).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -qq -o APT::Sandbox::User=root download prometheus
dpkg -x prometheus_*.deb .
promtool=usr/bin/promtool

version=$("$promtool" --version 2>&1 | sed -n 's/^promtool, version \([0-9.]*\).*/\1/p')
echo "promtool $version"
[[ $version == 2.42.0 ]] || { echo "another version than the one looked at" >&2; exit 1; }

cat >rules.yml <<'YAML'
groups:
  - name: broker
    rules:
      - alert: BrokerDown
        expr: up == 0
YAML

# The result of a test that this alert of these rules does or does not fire if `up` is 0.
result() {
    cat >test.yml <<YAML
rule_files: [$2]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series: [{ series: up, values: 0x10 }]
    alert_rule_test:
      - eval_time: 5m
        alertname: $1
        exp_alerts: $3
YAML
    if "$promtool" test rules test.yml >said 2>&1; then
        echo success
    else
        echo failure
    fi
}

seen=$(
    echo "silent, and it fires: $(result BrokerDown rules.yml '[]')"
    echo "fires, misspelt: $(result BrokerDwon rules.yml '[{}]')"
    echo "silent, misspelt: $(result BrokerDwon rules.yml '[]')"
    echo "silent, rules not found: $(result BrokerDown 'rule*.yaml' '[]')"
)
echo "$seen"
[[ $seen == "silent, and it fires: failure
fires, misspelt: failure
silent, misspelt: success
silent, rules not found: success" ]] || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# Tests of cargo-nextest that belong to a test group and require several threads.
#
# Guess: a test with `threads-required = 3` in a group with `max-threads = 3` waits until the
# group is empty and three threads are free, and is run then.
#
# Seen with cargo-nextest 0.9.143, three times of three: if the group becomes empty while too
# few threads are free, and whatever holds these threads is in no group, the run ends when that
# is over. The waiting test and those of its group behind it are not run. The run says "3/11
# tests were not run" in a warning, and fails with "test run failed", though every test that it
# names has passed, `fail-fast` is off, and nothing was interrupted.
#
# So give either a group or a number of threads, not both, unless the tests of the group come
# last and all of them are as weighty as each other.
#
# Needs cargo with a compiler, and builds nextest for ten minutes; uses no network except for
# the crates.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo install --quiet --locked --root tools cargo-nextest@0.9.143

mkdir -p src tests .config
cat >Cargo.toml <<'TOML'
[package]
name = "weights"
version = "0.1.0"
edition = "2024"
TOML
touch src/lib.rs

# Each test sleeps for as many milliseconds as its name says.
tests=(group_first_1000 group_weighty_300 group_light_a_300 group_light_b_300
    group_light_c_300 group_light_d_300 free_2000 free_2300 free_2600 free_2900 free_3200)
for test in "${tests[@]}"; do
    echo "#[test] fn $test() {
        std::thread::sleep(std::time::Duration::from_millis(${test##*_}));
    }"
done >tests/sleep.rs

cat >.config/nextest.toml <<'TOML'
[test-groups]
group = { max-threads = 3 }

[[profile.default.overrides]]
filter = "test(group_first)"
test-group = "group"
priority = 3

[[profile.default.overrides]]
filter = "test(group_weighty)"
test-group = "group"
threads-required = 3
priority = 2

[[profile.default.overrides]]
filter = "test(group_light)"
test-group = "group"
priority = 1
TOML

tools/bin/cargo-nextest nextest --version | head -n 1
outcome=0
tools/bin/cargo-nextest nextest run --test-threads 6 --no-fail-fast >run 2>&1 || outcome=$?
grep -E 'Summary|not run|failed' run
[[ $outcome -ne 0 ]] && grep -q '8 passed' run && grep -q '3/11 tests were not run' run &&
    ! grep -q 'PASS.*group_weighty' run || { echo "this has changed" >&2; exit 1; }

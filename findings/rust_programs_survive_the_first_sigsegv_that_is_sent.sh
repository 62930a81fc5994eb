#!/usr/bin/env bash
# A Rust program that is sent SIGSEGV, as tests and supervisors do to have one die.
#
# Guess: it ends by the signal at once, as a program in C does and as it does by SIGABRT.
#
# Seen with Rust 1.95.0 on Linux: it lives on. The standard library handles SIGSEGV to tell of
# stack overflows. For any other address it puts the default action back and returns, so that
# the instruction at fault faults again; but a signal that was sent has none. The second signal
# ends the program. SIGABRT and SIGKILL do so at once.
#
# So a test of what happens when a program dies has to send another signal.
#
# Needs rustc and cc.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
rustc --version

echo 'fn main() { std::thread::sleep(std::time::Duration::from_secs(60)); }' >sleeps.rs
rustc -o in-rust sleeps.rs
echo '#include <unistd.h>
int main(void) { sleep(60); }' >sleeps.c
cc -o in-c sleeps.c

# Prints after how many signals a program has ended, at most three.
signals_until_the_end_of() {
    "./$1" &
    local id=$! count
    sleep 0.5
    for count in 1 2 3; do
        kill "-$2" "$id"
        sleep 0.5
        [[ $(cut -d ' ' -f 3 "/proc/$id/stat" 2>/dev/null || echo Z) != Z ]] || break
    done
    wait "$id" 2>/dev/null || true
    echo "$1, $2: $count"
}

seen=$(for program in in-c in-rust; do
    signals_until_the_end_of "$program" SEGV
    signals_until_the_end_of "$program" ABRT
done 2>/dev/null)
echo "$seen"
[[ $seen == "in-c, SEGV: 1
in-c, ABRT: 1
in-rust, SEGV: 2
in-rust, ABRT: 1" ]] || { echo "this has changed" >&2; exit 1; }

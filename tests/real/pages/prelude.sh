set -euo pipefail

# Folders that commands may change: what they write is in memory, over what is there.
mkdir "$MACHINE"
mount -t tmpfs tmpfs "$MACHINE"
for folder in /etc /usr /var /opt; do
    mkdir -p "$MACHINE$folder"/{new,work}
    mount -t overlay overlay "$folder" \
        -o "lowerdir=$folder,upperdir=$MACHINE$folder/new,workdir=$MACHINE$folder/work"
done
mount -t tmpfs tmpfs /run
ip link set lo up

write_file() {
    mkdir -p "$(dirname "$1")"
    cat > "$1"
}

# Runs the command on its input until the next one is to be served, or the page ends.
serve() {
    stop
    bash -c "$(cat)" < /dev/null > /dev/null 2>> "$OUTPUTS/log" &
    serving=$!
    until curl -s -o /dev/null "${LIVEZ:-http://127.0.0.1:9580/livez}"; do
        kill -0 "$serving"
        sleep 0.1
    done
}

stop() {
    [[ -n ${serving:-} ]] || return 0
    # The second one ends a broker at once.
    kill "$serving" 2> /dev/null && kill "$serving" 2> /dev/null || true
    wait "$serving" || true
    serving=
}


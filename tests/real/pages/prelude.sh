set -euo pipefail

# Folders that commands may change: what they write is in memory, over what is there.
own_folders() {
    local folder
    mkdir "$1"
    mount -t tmpfs tmpfs "$1"
    for folder in /etc /usr /var /opt; do
        mkdir -p "$1$folder"/{new,work}
        mount -t overlay overlay "$folder" \
            -o "lowerdir=$folder,upperdir=$1$folder/new,workdir=$1$folder/work"
    done
    mount -t tmpfs tmpfs /run
}

write_file() {
    mkdir -p "$(dirname "$1")"
    cat > "$1"
}

own_folders "$MACHINE"
ip link set lo up

# Each machine that was added: a process that does nothing, in its namespaces.
declare -A machines

# Adds a machine with this name and address, in a network with this one, whose end of it is
# `internet`. It reaches every address, and knows the names that are in /etc/hosts here.
add_machine() {
    local name=$1 address=$2
    ip link show internet > /dev/null 2>&1 ||
        { ip link add internet type bridge && ip link set internet up; }
    cp /etc/hosts "$MACHINE/hosts"
    # Its folders are not over those of this machine.
    unshare --net --mount bash -euo pipefail -c '
        umount --lazy /run /opt /var /usr /etc
        own_folders "$1"
        cp "$MACHINE/hosts" /etc/hosts
        touch "$1.ready"
        exec sleep infinity' add_machine "$MACHINE/$name" &
    machines[$name]=$!
    until [[ -e $MACHINE/$name.ready ]]; do
        kill -0 "${machines[$name]}"
        sleep 0.05
    done
    ip link add "$name" type veth peer name eth0 netns "${machines[$name]}"
    ip link set "$name" master internet up
    on "$name" <<< "ip link set lo up
        ip address add $address/24 dev eth0
        ip link set eth0 up
        ip route add default dev eth0"
}

# Runs its input on a machine that was added.
on() {
    nsenter --target "${machines[$1]}" --net --mount --wd="$PWD" bash -euo pipefail -c "$(cat)"
}

export -f own_folders write_file

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


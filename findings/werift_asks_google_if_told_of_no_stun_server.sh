#!/usr/bin/env bash
# The STUN servers that werift, WebRTC for JavaScript, asks when it is told of none.
#
# Guess: `iceServers: []` means none, as in browsers: a connection has the host's own
# candidates at once, and its machine sends nothing to others before it has a peer.
#
# Seen with werift 0.24.4 (and 0.25.2, which wants Node.js 22): the list without an entry is
# taken for one that is missing. It looks up stun.l.google.com and asks that server, though
# `getConfiguration()` says that there is none. Where no answer comes, as in a network
# namespace, it waits for 5 s before the description has its candidates: as long as a
# Snowflake client waits for the whole of its answer.
#
# So whoever wants no STUN server has to name one nevertheless, which answers at once.
#
# Needs npm and Node.js; opens no connection except for the packages.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --ignore-scripts --no-audit --no-fund werift@0.24.4

cat >gather.js <<'JAVASCRIPT'
const dns = require("node:dns");

// In place of the resolver, so that nothing is asked.
const lookedUp = [];
dns.promises.lookup = async (name) => {
  lookedUp.push(name);
  throw new Error("there are no names here");
};

const { RTCPeerConnection } = require("werift");
const { version } = require("./node_modules/werift/package.json");

async function gather(iceServers) {
  lookedUp.length = 0;
  const connection = new RTCPeerConnection({ iceServers });
  connection.createDataChannel("any");
  await connection.setLocalDescription(await connection.createOffer());
  const configured = JSON.stringify(connection.getConfiguration().iceServers);
  console.log(`told of ${configured}, it looks up ${[...new Set(lookedUp)]}`);
  await connection.close();
}

async function main() {
  console.log(`werift ${version}`);
  await gather([]);
  await gather([{ urls: "stun:stun.example:3478" }]);
  process.exit();
}

main();
JAVASCRIPT

seen=$(node gather.js)
echo "$seen"
[[ $seen == 'werift 0.24.4
told of [], it looks up stun.l.google.com
told of [{"urls":"stun:stun.example:3478"}], it looks up stun.example' ]] ||
    { echo "not as seen before" >&2; exit 1; }

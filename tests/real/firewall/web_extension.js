// A proxy that speaks to the broker as Snowflake's web extension does, with another DTLS than
// Go proxies have: that of werift, which is in the folder of modules. Unlike the extension it
// polls again at once and serves any number of clients, as many extensions do together.
// Arguments: the URLs of the broker and of a STUN server, the pattern of the relays that it
// accepts, the modules.
"use strict";

const { randomBytes } = require("node:crypto");
const path = require("node:path");
const { setTimeout: pause } = require("node:timers/promises");

const [broker, stun, pattern, modules] = process.argv.slice(2);
const { RTCPeerConnection } = require(path.join(modules, "werift"));
const WebSocket = require(path.join(modules, "ws"));

// The time after which a poll is tried again if the broker cannot be reached.
const RETRY_MS = 1_000;
// The time in which the client has to open its data channel.
const CHANNEL_MS = 20_000;

async function post(endpoint, message) {
  const body = JSON.stringify({ Version: "1.3", ...message });
  const response = await fetch(new URL(endpoint, broker), { method: "POST", body });
  if (!response.ok) {
    throw new Error(`${endpoint}: ${response.status}`);
  }
  return response.json();
}

// Asks for a client, and returns the session and the reply.
async function poll() {
  const Sid = randomBytes(8).toString("hex");
  const reply = await post("proxy", {
    Sid,
    Type: "webext",
    NAT: "restricted",
    Clients: 0,
    AcceptedRelayPattern: pattern,
  });
  return { Sid, reply };
}

// Answers a client's offer, and carries its data to the relay.
async function serve(Sid, { Offer, RelayURL }) {
  const connection = new RTCPeerConnection({ iceServers: [{ urls: stun }] });
  const timer = setTimeout(() => connection.close(), CHANNEL_MS);
  connection.ondatachannel = ({ channel }) => {
    console.log("data channel open");
    clearTimeout(timer);
    carry(channel, RelayURL, connection);
  };
  await connection.setRemoteDescription(JSON.parse(Offer));
  await connection.setLocalDescription(await connection.createAnswer());
  await gathered(connection);
  const Answer = JSON.stringify(connection.localDescription);
  const { Status } = await post("answer", { Sid, Answer });
  console.log(`answered: ${Status}`);
}

// Waits until the answer has all candidates, as nothing is sent after it.
function gathered(connection) {
  return new Promise((resolve) => {
    const look = () => connection.iceGatheringState === "complete" && resolve();
    connection.onicegatheringstatechange = look;
    look();
  });
}

// Copies in both directions until either side ends.
function carry(channel, url, connection) {
  const relay = new WebSocket(url);
  const early = [];
  relay.on("open", () => early.splice(0).forEach((data) => relay.send(data)));
  relay.on("message", (data) => channel.send(data));
  relay.on("close", () => connection.close());
  relay.on("error", (error) => console.log(`relay: ${error.message}`));
  channel.onmessage = ({ data }) =>
    relay.readyState === WebSocket.OPEN ? relay.send(data) : early.push(data);
  channel.onclose = () => relay.close();
}

async function main() {
  for (;;) {
    try {
      const { Sid, reply } = await poll();
      if (reply.Status === "client match") {
        serve(Sid, reply).catch((error) => console.log(`client: ${error.message}`));
      }
    } catch (error) {
      console.log(`poll: ${error.message}`);
      await pause(RETRY_MS);
    }
  }
}

main();

// A proxy that asks a probe server for its NAT type with another WebRTC than Go proxies have:
// that of werift, which is in the folder of modules. Prints if its data channel opens.
// Arguments: the URL of the probe server, that of a STUN server, the modules.
"use strict";

const path = require("node:path");

const [probe, stun, modules] = process.argv.slice(2);
const { RTCPeerConnection } = require(path.join(modules, "werift"));

// As long as Go proxies wait.
const CHANNEL_MS = 20_000;

async function main() {
  const connection = new RTCPeerConnection({ iceServers: [{ urls: stun }] });
  const channel = connection.createDataChannel("test");
  await connection.setLocalDescription(await connection.createOffer());
  await gathered(connection);
  const Offer = JSON.stringify(connection.localDescription);
  const body = JSON.stringify({ Status: "client match", Offer, NAT: "", RelayURL: "" });
  const response = await fetch(probe, { method: "POST", body });
  const { Answer } = await response.json();
  const opened = new Promise((resolve) => {
    channel.onopen = () => resolve("opens");
    setTimeout(() => resolve("stays closed"), CHANNEL_MS);
  });
  await connection.setRemoteDescription(JSON.parse(Answer));
  console.log(`the channel ${await opened}`);
  await connection.close();
}

// Waits until the offer has all candidates, as nothing is sent after it.
function gathered(connection) {
  return new Promise((resolve) => {
    const look = () => connection.iceGatheringState === "complete" && resolve();
    connection.onicegatheringstatechange = look;
    look();
  });
}

main();

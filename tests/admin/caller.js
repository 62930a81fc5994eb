// Calls the administration at the address of the first argument by gRPC for JavaScript,
// which is in the folder of the second. Ends with a stack trace if anything is not as
// it should be. Messages are bytes: what is in them is for others to look at.
"use strict";

const assert = require("node:assert");
const path = require("node:path");

const [address, modules] = process.argv.slice(2);
const grpc = require(path.join(modules, "@grpc/grpc-js"));

const SERVICE = "snowflake.broker.admin.v1.Admin";
const bytes = (message) => message;

function method(name, responseStream) {
  return {
    path: `/${SERVICE}/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
}

const Admin = grpc.makeGenericClientConstructor(
  {
    getStatus: method("GetStatus", false),
    getStats: method("GetStats", false),
    setPollIntervals: method("SetPollIntervals", false),
    watchStatus: method("WatchStatus", true),
  },
  SERVICE,
);

const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

function call(admin, name, request) {
  return new Promise((resolve, reject) => {
    admin[name](request, within(20), (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}

// The code with which a stream ends, and the number of its messages.
function watch(admin, seconds, enough) {
  return new Promise((resolve) => {
    let count = 0;
    // interval: 100 ms.
    const request = Buffer.from([0x0a, 0x05, 0x10, 0x80, 0xc2, 0xd7, 0x2f]);
    const stream = admin.watchStatus(request, within(seconds));
    stream.on("data", () => {
      count += 1;
      if (count === enough) stream.cancel();
    });
    stream.on("error", (error) => resolve([error.code, count]));
  });
}

async function main() {
  const admin = new Admin(address, grpc.credentials.createInsecure());
  assert((await call(admin, "getStatus", Buffer.alloc(0))).length > 0);
  assert((await call(admin, "getStats", Buffer.alloc(0))).length > 0);
  assert.deepStrictEqual(await watch(admin, 20, 5), [grpc.status.CANCELLED, 5]);
  const [code, count] = await watch(admin, 0.5, Infinity);
  assert.strictEqual(code, grpc.status.DEADLINE_EXCEEDED);
  assert(count > 0);
  const wrong = Buffer.from([0xff]);
  await assert.rejects(call(admin, "setPollIntervals", wrong), { code: grpc.status.INTERNAL });
  // The connection is as good as before.
  assert((await call(admin, "getStatus", Buffer.alloc(0))).length > 0);
  admin.close();
}

main();

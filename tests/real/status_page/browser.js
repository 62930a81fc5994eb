"use strict";

// Reads the status page in Chromium, and fails if people could not.

const assert = require("node:assert");
const fs = require("node:fs");

const [modules, program, own, broker, pictures] = process.argv.slice(2);
const { chromium } = require(`${modules}/playwright-core`);
const axe = fs.readFileSync(`${modules}/axe-core/axe.min.js`, "utf8");

const WIDTHS = [360, 768, 1280];
const PATIENCE_MS = 20_000;

// Proxies by type and NAT, which wait for clients until this program ends.
const SUPPLY = [
  ["standalone", "unrestricted", 31],
  ["webext", "unrestricted", 6],
  ["iptproxy", "moderate", 9],
  ["standalone", "moderate", 4],
  ["webext", "restricted", 38],
  ["badge", "restricted", 5],
  ["orbot-android", "restricted", 12],
];
const CLIENTS = 40;
let polls = 0;

async function post(path, body) {
  return (await fetch(broker + path, { method: "POST", body })).json();
}

// A proxy that answers each client that it is handed. It is cut off in the end.
async function proxy(Type, NAT, below = "") {
  for (;;) {
    polls += 1;
    const [Sid, Version] = [`sid-${polls}`, "1.3"];
    const poll = { Sid, Version, Type, NAT, Clients: 0, AcceptedRelayPattern: "" };
    await post(`${below}/proxy`, JSON.stringify(poll));
    const Answer = JSON.stringify({ type: "answer", sdp: "v=0\r\na=candidate:1\r\n" });
    await post(`${below}/answer`, JSON.stringify({ Version, Sid, Answer }));
  }
}

async function client() {
  const offer = JSON.stringify({ type: "offer", sdp: "v=0\r\n" });
  const { answer } = await post("/client", `1.0\n${JSON.stringify({ offer, nat: "unrestricted" })}`);
  assert(answer);
}

async function supply() {
  let proxies = 0;
  for (const [type, nat, count] of SUPPLY) {
    for (let one = 0; one < count; one += 1) proxy(type, nat).catch(() => {});
    proxies += count;
  }
  proxy("standalone", "unrestricted", "/p/0123456789abcdef").catch(() => {});
  const allWait = async () => (await figures()).pools.reduce((sum, it) => sum + it.parked, 0) === proxies;
  await until(allWait);
  for (let one = 0; one < CLIENTS; one += 1) await client();
  // Figures are kept for a while.
  const since = Date.now();
  await until(async () => Date.parse((await figures()).time) >= since && (await allWait()));
}

async function figures() {
  return (await fetch(`${own}/status.json`)).json();
}

async function until(isSo) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    assert(Date.now() < end, `never: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Opens a page of which nothing may be refused or fail.
async function visit(browser, url, options) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => {
    if (!request.url().endsWith("/events")) complaints.push(`${request.url()} failed`);
  });
  await page.goto(url);
  const leave = async () => {
    await context.close();
    assert.deepStrictEqual(complaints, [], url);
  };
  return { page, leave };
}

async function isAccessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const found = violations.map(({ id, help, nodes }) => ({ id, help, at: nodes.map((it) => it.html) }));
  assert.deepStrictEqual(found, [], name);
}

async function fits(page, name, isPictured) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const [is, has] = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return [scrollWidth, clientWidth];
    });
    assert(is <= has, `${name} is ${is} px wide, in a window of ${width}`);
    if (isPictured(width)) {
      await page.screenshot({ path: `${pictures}/${name}-${width}.png`, fullPage: true });
    }
  }
}

async function numbersGoUpWithoutAReload(page) {
  await page.getByText("Live", { exact: true }).waitFor();
  await page.evaluate(() => {
    window.isTheSame = true;
  });
  const open = page.locator("article", { hasText: "moderate NAT" }).locator("dd").first();
  const before = Number(await open.textContent());
  proxy("standalone", "moderate").catch(() => {});
  const after = String(before + 1);
  await page.locator("article", { hasText: "moderate NAT" }).locator("dd", { hasText: after }).first().waitFor();
  assert(await page.evaluate(() => window.isTheSame));
}

async function main() {
  const launched = chromium.launch({
    executablePath: program,
    chromiumSandbox: false,
    args: ["--disable-gpu"],
  });
  const [browser] = await Promise.all([launched, supply()]);
  for (const [name, url] of [["operator", `${own}/`], ["public", `${broker}/status`]]) {
    for (const colorScheme of ["light", "dark"]) {
      const { page, leave } = await visit(browser, url, { colorScheme });
      await page.getByText("Live", { exact: true }).waitFor();
      // The picture of each width is in one of the two.
      const isPictured = (width) =>
        (name === "operator" || width === 360) && (width === 768) === (colorScheme === "dark");
      await fits(page, name, isPictured);
      await isAccessible(page, `${name}, ${colorScheme}`);
      await leave();
    }
    const { page, leave } = await visit(browser, url, { javaScriptEnabled: false });
    assert.match(await page.locator("main").innerText(), /Serving[^]*open NAT/i);
    assert.strictEqual(await page.locator("svg").count(), name === "operator" ? 9 : 0);
    await leave();
  }
  const { page, leave } = await visit(browser, `${broker}/status/me`, {});
  await page.getByText("A proxy at your address has polled").waitFor();
  await fits(page, "me", () => false);
  await isAccessible(page, "me");
  await leave();
  const live = await visit(browser, `${own}/`, {});
  await numbersGoUpWithoutAReload(live.page);
  await live.leave();
  await browser.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);

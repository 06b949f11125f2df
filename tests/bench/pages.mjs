// SPDX-License-Identifier: Apache-2.0
// The dashboard over a month of many decisions: what a real Chromium says of each page, how long each route takes, and
// how large the first page is. Rows as report.h has them, on standard output.
//   ASSAY_BUILD=build/plain node tests/bench/pages.mjs      BENCH_DECISIONS= how many (1000000), a tenth of them cases
//                                                          BENCH_TELL=1 tells every measurement on standard error
import { readFileSync, readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch, open } from "../browser/chromium.mjs";
import { addUser, assay, own, password, run, sql, sqlFile, start, stop, urlOf, waitUntilReady } from "../browser/cluster.mjs";

const decisions = Number(process.env.BENCH_DECISIONS ?? 1000000);
const cases = decisions / 10;
const goalMs = 1000;
const goalKb = 500;
const tell = (text) => process.env.BENCH_TELL && console.error(`bench: ${text}`);
const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];

/** The row of one result; `limit`: what its value may be at most. */
function report(name, value, unit, limit, note) {
  const rounded = Number(value.toPrecision(4));
  console.log(
    JSON.stringify({
      name: `pages/${name}`, value: rounded, unit, baseline: null, ratio: null,
      goal: limit === null ? null : `value <= ${limit} ${unit}`, met: limit === null ? null : rounded <= limit, against: null, note: note ?? null,
    }),
  );
}

// ---- the world ----

/** Names of one length, so that a copy of a decision can have others in the same bytes. */
function fixedNames(lines) {
  const known = new Map();
  const named = (letter, name) => {
    const key = letter + name;
    if (!known.has(key)) known.set(key, letter + String(known.size).padStart(letter === "t" ? 7 : 6, "0"));
    return known.get(key);
  };
  return lines.map((line) => {
    const each = JSON.parse(line);
    for (const [field, letter] of Object.entries({ transaction_id: "t", customer_id: "c", card_id: "k", device_id: "d" }))
      if (each[field]) each[field] = named(letter, each[field]);
    return JSON.stringify(each);
  });
}

function fill() {
  const stream = `${own}/stream.ndjson`;
  assay(["simulate", "--transactions", "24000", "--seed", "42", "--fraud", "3", "--days", "30", "--out", stream]);
  const lines = fixedNames(readFileSync(stream, "utf8").split("\n").filter(Boolean));
  run(["accounts", "create", "shop", "--clock", "simulated"]);
  const key = run(["keys", "create", "shop", "--quiet", "--scopes", "all"]).trim();
  run(["train", "--catalogue", "default", "--until", "2024-01-26T00:00:00Z", "--trees", "200", "--promote", stream]);
  run(["rules", "publish", "models/rules-starter.yaml", "--wait", "--allow-unknown"]);
  waitUntilReady();
  const live = lines.slice(lines.findIndex((line) => JSON.parse(line).known_at.startsWith("2024-01-26")));
  run(["replay", "--key", key, "--deadline-ms", "10000"], live.slice(0, 3000).join("\n") + "\n");
  for (let i = 0; sql("SELECT count(*) >= (SELECT count(*) FROM decisions) FROM payments") !== "t"; i++) {
    if (i > 600) throw new Error("the dashboard does not follow");
    sql("SELECT pg_sleep(0.1)");
  }
  sqlFile(fileURLToPath(new URL("pages.sql", import.meta.url)), { decisions, cases });
  addUser("ann", "analyst,lead,admin,auditor,rule_author,publisher,model_owner");
}

// ---- routes ----

const session = {};
async function logIn() {
  const answer = await fetch(`${urlOf("dashboard")}/v1/session`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "ann", password }),
  });
  if (!answer.ok) throw new Error(`log-in: ${answer.status} ${await answer.text()}`);
  session.cookies = answer.headers.getSetCookie().map((each) => each.split(";")[0]);
  session.csrf = (await answer.json()).csrf;
}

async function ask(path, body) {
  const began = performance.now();
  const answer = await fetch(`${urlOf("dashboard")}${path}`, {
    method: body === undefined ? "GET" : "POST", headers: { Cookie: session.cookies.join("; "), "X-CSRF-Token": session.csrf, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return { ms: performance.now() - began, said: text ? JSON.parse(text) : null };
}

/** Each of `paths` three times; the row is the slowest of all. */
async function time(name, paths, { body, limit = goalMs, rounds = 3 } = {}) {
  const all = [];
  for (const path of paths)
    for (let i = 0; i < rounds; i++) {
      const { ms } = await ask(path, body?.(path));
      all.push({ ms, path });
      tell(`${ms.toFixed(0).padStart(6)} ms ${path} ${body ? JSON.stringify(body(path)) : ""}`);
    }
  const worst = all.reduce((a, b) => (b.ms > a.ms ? b : a));
  report(name, worst.ms, "ms", limit, `the slowest of ${all.length}, median ${median(all.map((each) => each.ms)).toFixed(0)} ms${paths.length > 1 ? `: ${worst.path}` : ""}`);
}

/** Pages of a list, each by the cursor of the one before: the slowest. */
async function timePages(name, first, nextOf, most) {
  const all = [];
  for (let path = first; path && all.length < most; ) {
    const { ms, said } = await ask(path);
    all.push(ms);
    path = nextOf(said);
  }
  tell(`${name}: ${all.length} pages, ${Math.max(...all).toFixed(0)} ms at most`);
  report(name, Math.max(...all), "ms", goalMs, `the slowest of ${all.length} pages, one after the other by cursor; median ${median(all).toFixed(0)} ms`);
}

async function caseRoutes() {
  const states = ["", "open", "assigned", "snoozed", "decided", "all"];
  const sorts = ["loss", "due", "newest"];
  const one = JSON.parse(sql(`SELECT jsonb_build_object('customer', customer_id, 'card', card_id, 'device', device_id, 'ip', ip, 'merchant',
    merchant_id, 'id', transaction_id, 'assignee', coalesce(assignee, 'analyst7')) FROM review_cases WHERE device_id <> '' AND state = 'open' ORDER BY "case" LIMIT 1`));
  const filters = [
    "assignee=me", "assignee=none", `assignee=${one.assignee}`, "rule=rule_5", "rule=no_such_rule", `merchant=${one.merchant}`, "merchant=none",
    "country=DE", "country=XX", `entity=${one.customer}`, `entity=${one.card}`, `entity=${one.device}`, `entity=${one.ip}`, `entity=${one.merchant}`,
    `entity=${one.id}`, "entity=nobody", "amount=100000..", "amount=..500", "score=0.5..", "score=0.99..1", "age=0..86400", "age=2000000..", "account=shop",
  ];
  const all = (tail) => states.flatMap((state) => sorts.map((sort) => `/v1/cases?state=${state}&sort=${sort}&limit=100${tail}`));
  await time("cases, first page", all(""));
  await time("cases, each filter", filters.flatMap((filter) => all(`&${filter}`)), { rounds: 1 });
  for (const sort of sorts) {
    const first = `/v1/cases?state=all&sort=${sort}&limit=1000`;
    await timePages(`cases by ${sort}, to the last page`, first, (said) => said.next && `${first}&cursor=${said.next}`, 200);
  }
  await time("cases, what a filter finds", states.slice(0, 4).map((state) => `/v1/cases:preview?${state}`), { body: (path) => ({ state: path.split("?")[1] }) });
}

/** The routes of single cases, over some cases of much that is shared. */
async function caseFiles() {
  const ids = sql(`SELECT "case" FROM review_cases JOIN (SELECT merchant_id, count(*) FROM payments GROUP BY 1 ORDER BY 2 DESC LIMIT 3) m
    USING (merchant_id) WHERE state = 'open' ORDER BY "case" DESC LIMIT 4`).split("\n");
  for (const part of ["", "/velocity", "/graph", "/places", "/similar", "/flip", "/replay"])
    await time(`case${part}`, ids.map((id) => `/v1/cases/${id}${part}`));
  return ids[0];
}

async function otherRoutes() {
  const lane = sql("SELECT account FROM accounts WHERE name = 'shop'"); // a simulated clock has a lane of its own
  await time("overview", [15, 60, 360, 1440].map((minutes) => `/v1/overview?minutes=${minutes}`));
  await time("thresholds", ["/v1/thresholds", "/v1/thresholds?account=shop"]);
  await time("audit, each filter", ["", "&actor=analyst7", "&action=case.decide", "&action=nothing", "&subject=777", "&actor=nobody"].map((more) => `/v1/audit?limit=100${more}`));
  const trail = "/v1/audit?limit=1000";
  await timePages("audit, to the last page", trail, (said) => said.rows.length === 1000 && `${trail}&before=${said.rows.at(-1).id}`, 60);
  const list = "/v1/lists/blocked_customers/entries?limit=1000";
  await timePages("entries of a list, to the last page", list, (said) => said.entries.length === 1000 && `${list}&after=${encodeURIComponent(said.entries.at(-1).value)}`, 150);
  const alerts = "/v1/alerts?limit=1000&state=resolved";
  await timePages("alerts, to the last page", alerts, (said) => said.alerts.length === 1000 && `${alerts}&before=${said.alerts.at(-1).id}`, 30);
  for (const path of [
    "session", "settings", "views", "users", "keys", "lists", "lists/blocked_customers", "lists/blocked_customers/changes", "rulesets?limit=100", "rulesets?limit=1000",
    "rulesets:names", "backtests?limit=20", "models?limit=50", "experiments?limit=200", "retraining-runs?limit=50", "retraining-schedules",
    `drift?lane=${lane}`, `quality?lane=${lane}&days=90`, `data-health?lane=${lane}&hours=168`, "conditions", "alerts", "silences", "model-requests?limit=200", "webhooks",
  ])
    await time(path.split("?")[0].replaceAll("/", ", "), [`/v1/${path}`]);
}

/** From asking for the stream until the newest decisions have come. */
async function stream() {
  const all = [];
  for (let i = 0; i < 3; i++) {
    const gone = new AbortController();
    const began = performance.now();
    const answer = await fetch(`${urlOf("dashboard")}/v1/stream`, { headers: { Cookie: session.cookies.join("; ") }, signal: gone.signal });
    let text = "";
    for await (const part of answer.body.pipeThrough(new TextDecoderStream()))
      if ((text += part).includes("event: decisions")) break;
    all.push(performance.now() - began);
    gone.abort();
  }
  report("stream, until the newest decisions", Math.max(...all), "ms", goalMs, "it looks twice a second");
}

// ---- pages ----

/** What the page says of itself; gathered from its first moment on. */
function watchPaints() {
  const seen = (globalThis.paints = { lcp: 0, fcp: 0, shift: 0, blocking: 0, what: "" });
  const watch = (type, hear) => new PerformanceObserver((list) => list.getEntries().forEach(hear)).observe({ type, buffered: true });
  watch("largest-contentful-paint", (entry) => {
    seen.lcp = entry.startTime;
    seen.what = entry.element ? `${entry.element.tagName.toLowerCase()} ${(entry.element.textContent ?? "").slice(0, 24)}` : "";
  });
  watch("paint", (entry) => entry.name === "first-contentful-paint" && (seen.fcp = entry.startTime));
  watch("layout-shift", (entry) => !entry.hadRecentInput && (seen.shift += entry.value));
  watch("longtask", (entry) => (seen.blocking += Math.max(0, entry.duration - 50)));
}

/** What must be seen before a page counts as shown. */
const shown = {
  overview: ".tiles", queue: "[role=row] a, [role=row]:nth-of-type(3)", cases: "[role=toolbar][aria-label=Decision]",
};

async function visitOnce(page, go, name) {
  const began = performance.now();
  await go();
  await page.locator(shown[name] ?? "h1").first().waitFor();
  const content = performance.now() - began;
  await page.waitForTimeout(1200); // what comes late, comes
  return { content, ...(await page.evaluate(() => globalThis.paints)) };
}

/** Fresh: nothing cached, a browser context of its own. Again: the same page once more. */
async function measurePage(browser, name, at, rounds) {
  const fresh = [];
  const again = [];
  for (let i = 0; i < rounds; i++) {
    const { page, complaints, close } = await open(browser);
    const url = urlOf("dashboard");
    await page.context().addCookies(session.cookies.map((each) => ({ name: each.slice(0, each.indexOf("=")), value: each.slice(each.indexOf("=") + 1), url })));
    await page.addInitScript(watchPaints);
    fresh.push(await visitOnce(page, () => page.goto(`${url}/#/${at}`), name));
    again.push(await visitOnce(page, () => page.reload(), name));
    if (complaints.length) throw new Error(`${at}: ${complaints.join("; ")}`);
    await close();
  }
  for (const [how, all] of Object.entries({ fresh, again })) {
    const of = (member) => median(all.map((each) => each[member]));
    const note = `first paint ${of("fcp").toFixed(0)} ms, shown after ${of("content").toFixed(0)} ms, blocked for ${of("blocking").toFixed(0)} ms, shift ${of("shift").toFixed(3)}; median of ${rounds}, slowest ${Math.max(...all.map((each) => each.lcp)).toFixed(0)} ms`;
    report(`${name}, ${how}: largest paint`, of("lcp"), "ms", goalMs, note);
    tell(`${name}, ${how}: ${of("lcp").toFixed(0)} ms, ${note}; ${all[0].what}`);
  }
}

async function pages(browser, id) {
  for (const [name, at] of [["overview", "overview"], ["queue", "queue"], ["cases", `cases/${id}`]]) await measurePage(browser, name, at, 5);
  for (const name of ["rules", "models", "drift", "alerts", "lists", "keys", "settings", "users", "audit"]) await measurePage(browser, name, name, 1);
}

// ---- the first page's files ----

/** The bytes that come when the first page is opened for the first time. */
async function size(browser) {
  const { page, close } = await open(browser);
  const url = urlOf("dashboard");
  let bytes = 0;
  let files = 0;
  await page.context().addCookies(session.cookies.map((each) => ({ name: each.slice(0, each.indexOf("=")), value: each.slice(each.indexOf("=") + 1), url })));
  const sizes = [];
  page.on("requestfinished", (request) => {
    if (!request.url().includes("/v1/")) sizes.push(request.sizes().then((each) => { bytes += each.responseBodySize; files++; }));
  });
  await page.goto(url);
  await page.locator(shown.queue).first().waitFor();
  await page.waitForTimeout(1500);
  await Promise.all(sizes);
  await close();
  report("first page, all of its files", bytes / 1000, "kB", goalKb, `${files} files as they are sent, compressed; what is fetched ahead is in it`);
  const assets = fileURLToPath(new URL("../../build/web/assets", import.meta.url));
  const all = readdirSync(assets).filter((each) => each.endsWith(".gz")).reduce((sum, each) => sum + statSync(`${assets}/${each}`).size, 0);
  report("all pages, all of their files", all / 1000, "kB", null, "compressed");
}

start({ ASSAY_DASHBOARD_CASES: "review", ASSAY_DEADLINE: "10s" });
let browser;
try {
  const began = performance.now();
  fill();
  tell(`filled in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  await logIn();
  await time("a request that asks for nothing", ["/v1/settings"], { limit: null, rounds: 20 });
  await caseRoutes();
  const id = await caseFiles();
  await otherRoutes();
  await stream();
  browser = await launch();
  await size(browser);
  await pages(browser, id);
} finally {
  await browser?.close();
  if (!process.env.BENCH_HOLD) stop();
  else console.error(`held: ${own}`);
}

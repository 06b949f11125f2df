// SPDX-License-Identifier: Apache-2.0
// What the people of the demo do, through the dashboard's REST interface and under their own names.
// Usage: demo_people.mjs rules|cases URL DIRECTORY, where NAME.password are and truth.ndjson tells what became of payments.
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [what, url, directory] = process.argv.slice(2);
const pause = (ms) => new Promise((later) => setTimeout(later, ms));

/** A session of `name`: call(method, path, body) gives the answer, or throws what the service said. */
async function logIn(name) {
  const password = readFileSync(`${directory}/${name}.password`, "utf8").trim();
  const headers = { "content-type": "application/json", origin: url };
  const entered = await fetch(`${url}/v1/session`, { method: "POST", headers, body: JSON.stringify({ name, password }) });
  if (!entered.ok) throw new Error(`${name} may not log in: ${await entered.text()}`);
  headers.cookie = entered.headers.getSetCookie().map((each) => each.split(";")[0]).join("; ");
  headers["x-csrf-token"] = (await entered.json()).csrf;
  return async (method, path, body) => {
    const answer = await fetch(`${url}${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${name}: ${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
}

/** Asks until `is` says yes of the answer, or for a minute; the last answer. */
async function until(ask, is, seconds = 60) {
  let answer = await ask();
  for (const end = Date.now() + seconds * 1000; !is(answer) && Date.now() < end; answer = await ask()) await pause(500);
  return answer;
}

/** Rita changes two rules and adds one, Paul publishes it; her next idea stays a draft with its backtest. */
async function rules() {
  const rita = await logIn("rita");
  const paul = await logIn("paul");
  const there = (await rita("GET", "/v1/rulesets")).rulesets;
  if (there.length === 1) {
    const { document } = await rita("GET", "/v1/rulesets/1");
    document.rules.find((each) => each.id === "score_and_amount").when = "score >= 0.2 && tx.amount >= 40000";
    document.rules.push({
      id: "many_in_an_hour", name: "Many payments within the hour", when: 'count(card, "1h") >= 4 && score >= 0.02', action: "challenge",
      priority: 35, reason: '{count(card, "1h")} payments of the card before this one within the hour', public_reason: "Please confirm that it is you",
    });
    const draft = await rita("POST", "/v1/rulesets", { document, note: "More of the doubtful amounts to people; bursts are challenged" });
    await rita("POST", `/v1/rulesets/${draft.version}:prepare`, {});
    await until(() => rita("GET", `/v1/rulesets/${draft.version}`), (set) => set.state === "ready", 30).catch(() => {});
    await until(
      () => paul("POST", `/v1/rulesets/${draft.version}:publish`, { reason: "Agreed in Monday's round" }).then(() => true, (error) => error),
      (done) => done === true, 30,
    );
  }
}

/** The outcome of each payment, as the stream tells it to whoever reads on. */
async function truths() {
  const frauds = new Set();
  for await (const line of createInterface({ input: createReadStream(`${directory}/truth.ndjson`) }))
    if (line.startsWith('{"type":"label"') && line.includes('"is_fraud":true')) frauds.add(JSON.parse(line).transaction_id);
  return frauds;
}

async function backtest() {
  const rita = await logIn("rita");
  if ((await rita("GET", "/v1/backtests")).backtests.length > 0) return () => null;
  const { document } = await rita("GET", "/v1/rulesets/2");
  document.rules.find((each) => each.id === "score_and_amount").when = "score >= 0.1 && tx.amount >= 25000";
  const draft = await rita("POST", "/v1/rulesets", { document, note: "Further down still: is the queue long enough?" });
  const { backtest } = await rita("POST", "/v1/backtests", { version: draft.version });
  return () => until(() => rita("GET", `/v1/backtests/${backtest}`), (each) => !["queued", "running"].includes(each.state), 60);
}

const codes = { fraud: ["customer_denied", "stolen_card", "account_takeover"], legit: ["customer_confirmed", "known_customer", "explained_change"] };

async function cases() {
  const leo = await logIn("leo");
  const ann = await logIn("ann");
  const frauds = await truths();
  // The queue has been filled when two looks in a row find the same.
  let before = -1;
  await until(() => leo("GET", "/v1/cases?limit=1&sort=newest"), (page) => {
    const newest = page.cases[0]?.case ?? 0;
    const isStill = newest > 0 && newest === before;
    before = newest;
    return isStill;
  });
  const finished = await backtest();
  if ((await leo("GET", "/v1/cases?state=decided&limit=1")).cases.length > 0) return finished(); // was broken off
  // Ann asks the customers, whose answers are those that the stream has, and puts what a thief used on the lists.
  for (let i = 0; i < 14; i++) {
    const the = await ann("POST", "/v1/cases:next");
    if (!the) break;
    const outcome = frauds.has(the.transaction_id) ? "fraud" : "legit";
    const lists = outcome === "fraud" ? [{ list: "blocked_cards", field: "card_id" }] : [];
    if (outcome === "fraud" && the.device_id) lists.push({ list: "watched_devices", field: "device_id" });
    if (i === 4) await ann("POST", `/v1/cases/${the.case}/notes`, { text: "Called the customer, who rang back from the number on file." });
    await ann("POST", `/v1/cases/${the.case}:decide`, { version: the.version, outcome, reason: codes[outcome][i % 3], lists });
  }
  const unclear = await leo("POST", "/v1/cases:next");
  if (unclear) await leo("POST", `/v1/cases/${unclear.case}:decide`, { version: unclear.version, outcome: "unclear", reason: "customer_not_reached", note: "Three calls, no answer.", lists: [] });
  const asleep = await leo("POST", "/v1/cases:next");
  if (asleep) await leo("POST", `/v1/cases/${asleep.case}:snooze`, { version: asleep.version, until: new Date(Date.now() + 20 * 3600e3).toISOString().slice(0, 19) + "Z", note: "Waits for the issuer." });
  const given = await leo("POST", "/v1/cases:next");
  if (given) {
    await leo("POST", `/v1/cases/${given.case}/notes`, { text: "Same merchant as last week: please look at the terminal too." });
    await leo("POST", `/v1/cases/${given.case}:assign`, { version: given.version, assignee: "ann" });
  }
  await ann("PUT", "/v1/views/Due first", { filter: { sort: "due" }, is_shared: true });
  await leo("PUT", "/v1/views/Large and online", { filter: { amount: "50000.." }, is_shared: true });
  const good = (await leo("GET", "/v1/cases?state=decided")).cases.filter((each) => each.outcome === "legit" && each.customer_id);
  if (good.length)
    await leo("POST", "/v1/lists/trusted_customers/entries:add", { values: [...new Set(good.map((each) => each.customer_id))], note: "confirmed by telephone", expires_at: new Date(Date.now() + 90 * 864e5).toISOString().slice(0, 19) + "Z" });
  await leo("POST", "/v1/lists/anonymous_networks/entries:add", { values: ["198.51.100.0/24"], note: "exit nodes, from the network team" });
  // What grows older by itself is no surprise after the first time.
  const { alerts } = await leo("GET", "/v1/alerts");
  if (alerts.some((each) => JSON.stringify(each).includes("customer_age")))
    await leo("POST", "/v1/silences", { matchers: [{ name: "subject", value: "customer_age" }], ends_at: new Date(Date.now() + 14 * 864e5).toISOString().slice(0, 19) + "Z", comment: "Customers grow older; the second model has learned it" });
  await finished();
}

await { rules, cases }[what]();

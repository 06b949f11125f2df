// SPDX-License-Identifier: Apache-2.0
// Every page as each role sees it, on a running cluster of its own that has decided payments; and stored script: what was
// put into each text field through the real interfaces stands on the pages as text, and nothing of it runs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, assay, cluster, isBuilt, own, password, run, shots, urlOf, visit as visitAs, waitUntilReady } from "./cluster.mjs";

const roles = ["analyst", "lead", "rule_author", "publisher", "model_owner", "admin", "auditor"];
let caseOf, decided, model;

/** Markup that would run, a formula, a turned reading direction, a word that no line holds; `what` tells fields apart. */
const hostile = (what, width = 60) => `<img src=x onerror=window.ran=1>=1+1|${what}|\u202eevil${"W".repeat(width)}`;
const owner = hostile("owner"), payment = hostile("payment"), device = hostile("device");

/** Asks the dashboard as `name`, as its pages do. */
async function asking(name) {
  const entered = await fetch(`${urlOf("dashboard")}/v1/session`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name, password }),
  });
  assert.equal(entered.status, 200);
  const cookie = entered.headers.getSetCookie().map((each) => each.split(";")[0]).join("; ");
  const { csrf } = await entered.json();
  return async (method, path, body) => {
    const answer = await fetch(`${urlOf("dashboard")}${path}`, {
      method, body: body && JSON.stringify(body), headers: { cookie, "X-CSRF-Token": csrf, "Content-Type": "application/json" },
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
}

async function pay(key, like) {
  const body = {
    ...like, type: undefined, transaction_id: payment, customer_id: hostile("customer"), card_id: hostile("card"), merchant_id: hostile("merchant"), terminal_id: hostile("terminal"), device_id: device, attributes: { coupon: hostile("attribute") },
  };
  const answer = await fetch(`${urlOf("ingestion")}/v1/transactions`, {
    method: "POST", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.text());
}

/** Puts hostile text where people and programs may write. */
async function fill() {
  const ask = await asking("lena");
  const soon = new Date(Date.now() + 3600e3).toISOString();
  for (let i = 0; !caseOf && i < 300; i++) {
    const { cases } = await ask("GET", "/v1/cases?limit=200&entity=" + encodeURIComponent(payment));
    caseOf = cases.find((each) => each.transaction_id === payment)?.case;
    if (!caseOf) await new Promise((later) => setTimeout(later, 200));
  }
  assert.ok(caseOf, "the payment becomes a case");
  await ask("POST", `/v1/cases/${caseOf}/notes`, { text: hostile("note") });
  const other = (await ask("GET", "/v1/cases?limit=2")).cases.find((each) => each.case !== caseOf);
  decided = other.case;
  const { version } = await ask("POST", `/v1/cases/${decided}:snooze`, { version: other.version, until: soon, note: hostile("snooze note") });
  await ask("POST", `/v1/cases/${decided}:decide`, { version, outcome: "fraud", reason: "stolen_card", note: hostile("decision note") });
  await ask("POST", `/v1/models/${model.name}:promote`, { version: 2, reason: hostile("promotion reason") });
  await ask("POST", "/v1/lists", { list: "denied_things", field: "device_id", purpose: "deny", note: hostile("deny list") });
  await ask("POST", "/v1/lists/denied_things/entries:add", { values: [hostile("denied")], note: hostile("why denied") });
  await ask("PUT", `/v1/views/${encodeURIComponent(hostile("view", 2).slice(0, 64))}`, { filter: { entity: hostile("filter") }, is_shared: true });
  await ask("POST", "/v1/users", { name: "eve", full_name: hostile("full name"), roles: ["analyst"], password });
  await ask("POST", "/v1/keys", { account: "shop", scopes: ["read"], owner, note: hostile("key note") });
  await ask("POST", "/v1/lists", { list: "bad_things", field: "device_id", note: hostile("list note") });
  await ask("POST", "/v1/lists/bad_things/entries:add", { values: [hostile("value")], note: hostile("entry note") });
  await ask("POST", "/v1/silences", { matchers: [{ name: "subject", value: hostile("matcher") }], ends_at: soon, comment: hostile("comment") });
  await ask("POST", "/v1/webhooks", { name: "ops", url: `https://hooks.example.com/${encodeURIComponent("<img src=x onerror=window.ran=1>")}${"w".repeat(200)}` });
  await ask("POST", "/v1/rulesets", {
    note: hostile("rule set note"),
    document: {
      rules: [{
        id: "hostile", name: hostile("rule name"), when: `tx.device_id == "<img src=x onerror=window.ran=1>${"W".repeat(80)}"`, action: "review", priority: 1, reason: hostile("reason"), public_reason: hostile("public reason"), owner: hostile("rule owner"),
      }],
    },
  });
  await ask("POST", "/v1/retraining-runs", { name: model.name, reason: hostile("run reason") });
}

const settings = {
  ASSAY_DASHBOARD_CASES: "approve,challenge,review,decline",
  ASSAY_DEADLINE: "10s", // other tests may have the machine
  ASSAY_MONITOR_DRIFT: '{"learn_entries":0,"baseline_rows":100,"window_rows":100}',
};
cluster(settings, async () => {
  const stream = `${own}/stream.ndjson`;
  assay(["simulate", "--transactions", "6000", "--seed", "3", "--fraud", "4", "--out", stream]);
  run(["train", stream, "--warm-up", "2", "--trees", "20", "--promote"]);
  [model] = JSON.parse(run(["models", "list", "--json"]));
  run(["train", stream, "--warm-up", "2", "--trees", "5", "--register"]);
  waitUntilReady();
  run(["accounts", "create", "shop", "--clock", "simulated"]);
  const key = run(["keys", "create", "shop", "--quiet", "--scopes", "all"]).trim();
  run(["replay", stream, "--key", key, "--limit", "400", "--deadline-ms", "10000", "--quiet"]);
  for (const role of roles) addUser(role.replace("_", "."), role, "--full-name", `${role} <b>x</b>`);
  addUser("lena", roles.join(","));
  const lines = readFileSync(stream, "utf8").split("\n").slice(0, 500).filter((line) => line.startsWith('{"type":"transaction"'));
  await pay(key, JSON.parse(lines.at(-1)));
  await fill();
});

/** `work` gets the page and how to go to a place; what goes wrong there says where. */
const visit = (name, theme, work) =>
  visitAs(name, async (page) => {
    let at = "log-in";
    const to = async (place) => {
      at = place;
      await page.goto(`${urlOf("dashboard")}/#/${place}`);
      await page.locator("main h1, main .blank h2").first().waitFor();
      await page.locator(".skeletons").first().waitFor({ state: "detached" });
    };
    try {
      await work(page, to);
      assert.equal(await page.evaluate(() => window.ran), undefined);
    } catch (error) {
      error.message = `${name}, ${at}: ${error.message}`;
      throw error;
    }
  }, { theme });

const reviewers = ["analyst", "lead", "admin", "auditor"], ruling = ["rule_author", "publisher", ...reviewers];
const owners = ["model_owner", "lead", "admin", "auditor"], keepers = ["admin", "auditor"];

/** Where each page is, who opens it as docs/api/dashboard.yaml says, and what it shows of what was decided. */
const places = () => [
  { at: `queue?entity=${encodeURIComponent(payment)}`, roles: reviewers, shows: /\|customer\|/ },
  { at: `cases/${caseOf}`, roles: reviewers, shows: /\|note\|/ },
  { at: "overview", roles, shows: /Latency by stage/ },
  { at: "rules", roles: ruling, shows: /\|rule set note\|/ },
  { at: "models", roles: owners, shows: /champion/ },
  { at: "drift", roles, shows: /Newest window/ },
  { at: "alerts", roles, shows: /Nothing is wrong|since/ },
  { at: "lists", roles: ruling, shows: /bad_things/ },
  { at: "keys", roles: keepers, shows: /\|owner\|/ },
  { at: "settings", roles: roles.filter((each) => each !== "analyst"), shows: /ASSAY_DASHBOARD_CASES/ },
  { at: "users", roles: keepers, shows: /\|full name\|/ },
  { at: "audit", roles: keepers, shows: /user\.add|users\./ },
];

/** What axe has looked at: it is the same for every role. */
const looked = new Set();

for (const [i, role] of roles.entries())
  test(`${role}: every page opens with its data or says who may open it, and axe finds nothing`, { skip: !isBuilt }, () =>
    visit(role.replace("_", "."), i % 2 ? "dark" : "light", async (page, to) => {
      for (const place of places()) {
        await to(place.at);
        if (place.roles.includes(role)) {
          await page.locator("main").getByText(place.shows).first().waitFor();
        } else {
          await page.getByRole("heading", { name: "Your roles do not open this page" }).waitFor();
          const told = await page.locator("main .blank p").innerText();
          for (const other of place.roles) assert.ok(told.includes(other), `${place.at} names ${other}: ${told}`);
        }
        const view = place.roles.includes(role) ? place.at : "refused";
        if (!looked.has(view)) assert.deepEqual(await violations(page), [], place.at);
        looked.add(view);
        await page.screenshot({ path: `${shots}/cluster-roles-${role}-${place.at.split(/[/?]/)[0]}.png` });
      }
    }));

test("what is stored stays text on every page that shows it, in both themes and on a narrow screen", { skip: !isBuilt }, async () => {
  const shown = [
    [`queue?entity=${encodeURIComponent(payment)}`, ["customer"]],
    [`cases/${caseOf}`, ["payment", "customer", "card", "merchant", "device", "attribute", "note"]],
    [`cases/${decided}`, ["snooze note", "decision note"]],
    ["rules", ["rule set note"]],
    ["rules/1", ["rule name"]],
    ["models/retraining", ["run reason"]],
    ["alerts/silences", ["comment", "matcher"]],
    ["alerts/webhooks", ["%3Cimg"]],
    ["lists?list=bad_things", ["value", "entry note", "list note"]],
    ["lists?list=denied_things", ["denied", "why denied", "deny list"]],
    ["keys", ["owner", "key note"]],
    ["users", ["full name"]],
    ["audit", ["comment", "owner", "promotion reason"]],
  ];
  for (const theme of ["light", "dark"])
    await visit("lena", theme, async (page, to) => {
      for (const [place, fields] of shown) {
        await page.setViewportSize({ width: theme === "dark" ? 360 : 1440, height: 900 });
        await to(place);
        for (const field of fields) await page.locator("main").getByText(field.startsWith("%") ? field : `|${field}|`).first().waitFor({ state: "attached" }); // a narrow table leaves columns out
        assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("img")].map((each) => each.getAttribute("src")).filter((src) => src !== "/icon.svg")), [], place);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${place} is as wide as the window`);
        assert.equal(await page.evaluate(() => window.ran), undefined, place);
        assert.deepEqual(await violations(page), [], place);
        await page.screenshot({ path: `${shots}/cluster-hostile-${place.split("?")[0].replaceAll("/", "-")}-${theme}.png` });
      }
      await page.setViewportSize({ width: 1440, height: 900 });
      await to("queue");
      await page.getByRole("button", { name: "Views" }).click();
      await page.getByText("|view|").first().waitFor();
      assert.deepEqual(await violations(page), []);
    });
});

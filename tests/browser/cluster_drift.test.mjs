// SPDX-License-Identifier: Apache-2.0
// Drift, quality, data and alerts of a running cluster of its own, which has decided a made-up stream of payments: the
// pages show what the monitor counted, and what is changed in them is done and written down under the user's name.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, logIn, open, violations } from "./chromium.mjs";

const build = process.env.ASSAY_BUILD ?? fileURLToPath(new URL("../../build/plain", import.meta.url));
const assay = join(build, "bin/assay");
const shots = fileURLToPath(new URL("../../build/screenshots", import.meta.url));
const isThere = existsSync(join(build, "bin/dashboard"));
const password = "correct horse battery staple";
const own = isThere ? mkdtempSync(join(tmpdir(), "assay-drift-")) : "";
const home = join(own, "home");
const run = (args, input = "") => execFileSync(assay, [...args, "--home", home], { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
let browser, url, database;

const sql = (text) => execFileSync("psql", ["-qXAtd", database, "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" }).trim();

/** Until the monitor has judged a window and looked at a matured day. */
async function judged() {
  for (let i = 0; i < 600; i++) {
    if (sql("SELECT EXISTS (SELECT FROM monitor_verdicts) AND EXISTS (SELECT FROM monitor_quality)") === "t") return;
    await new Promise((later) => setTimeout(later, 100));
  }
  assert.fail("the monitor judged no window");
}

before(async () => {
  if (!isThere) return;
  mkdirSync(shots, { recursive: true });
  process.env.ASSAY_DASHBOARD_PAGES = fileURLToPath(new URL("../../build/web", import.meta.url));
  process.env.ASSAY_MONITOR_DRIFT = '{"learn_entries":0,"baseline_rows":300,"window_rows":300}';
  process.env.ASSAY_ALERT_HOLD = "0s";
  const stream = join(own, "stream.ndjson");
  run(["up", "--free-ports"]);
  execFileSync(assay, ["simulate", "--transactions", "12000", "--seed", "3", "--out", stream]);
  run(["train", stream, "--warm-up", "2", "--trees", "20", "--promote"]);
  run(["rules", "publish", fileURLToPath(new URL("../../models/rules-starter.yaml", import.meta.url))]);
  spawnSync(assay, ["status", "--wait", "--home", home]);
  run(["accounts", "create", "replayed", "--clock", "simulated"]);
  const key = run(["keys", "create", "replayed", "--quiet", "--scopes", "all"]).trim();
  run(["replay", stream, "--key", key, "--limit", "1500", "--deadline-ms", "10000", "--quiet"]);
  const all = JSON.parse(spawnSync(assay, ["status", "--json", "--home", home], { encoding: "utf8" }).stdout);
  url = all.services.find((each) => each.name.startsWith("dashboard")).url;
  database = all.pg_url;
  run(["users", "add", "root", "--roles", "admin"], `${password}\n`);
  run(["users", "add", "leo", "--roles", "lead"], `${password}\n`);
  await judged();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  if (!isThere) return;
  try {
    run(["down"]);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
});

async function visit(name, work) {
  const { page, complaints, close } = await open(browser);
  page.setDefaultTimeout(20000);
  try {
    await logIn(page, url, name, password);
    await page.getByRole("button", { name: /account and theme/ }).waitFor();
    await work(page);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
  }
}

test("drift, quality and data show what the monitor counted", { skip: !isThere }, () =>
  visit("leo", async (page) => {
    await page.goto(`${url}/#/drift`);
    await page.getByRole("region", { name: "Table of subjects" }).waitFor();
    assert.match(await page.getByLabel("Whose decisions").locator("option:checked").innerText(), /^replayed/);
    const subjects = await page.getByRole("region", { name: "Table of subjects" }).locator("tbody tr").count();
    assert.equal(subjects, Number(sql("SELECT count(*) FROM monitor_verdicts WHERE number = (SELECT max(number) FROM monitor_verdicts)")));
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "Table of bins" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-drift.png` });
    await page.keyboard.press("2");
    const days = page.getByRole("region", { name: "Table of days" });
    await days.waitFor();
    assert.equal(await days.locator("tbody tr").count(), Number(sql("SELECT count(*) FROM monitor_quality")));
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-quality.png` });
    await page.goto(`${url}/#/drift/data?hours=720`);
    await page.getByRole("region", { name: "Table of hours" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.goto(`${url}/#/drift/requests`);
    await page.getByText(/No model was asked for|^Asked$/).first().waitFor();
  }));

test("a lead silences an alert; it is written down under the lead's name", { skip: !isThere }, async () => {
  sql(
    "INSERT INTO monitor_conditions (condition, kind, subject, severity, lane, value, threshold, text, is_raised, since, change) VALUES " +
      "('test', 'drift', 'amount', 'warning', 0, 0.2, NULL, '<b>a test</b>', true, now(), nextval('monitor_condition_changes'))",
  );
  await visit("leo", async (page) => {
    await page.goto(`${url}/#/alerts`);
    await page.getByText("<b>a test</b>").waitFor();
    await page.getByRole("link", { name: /a test/ }).click();
    await page.getByText("Features, scores or actions are not distributed as in training").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-alert.png` });
    await page.keyboard.press("s");
    await page.getByLabel(/^Why/).fill("a price list");
    await page.keyboard.press("Enter");
    await page.getByText("Silent until").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("3");
    await page.getByRole("region", { name: "Table of silences" }).getByText("a price list").waitFor();
    await page.getByRole("button", { name: /^End now/ }).click();
    await page.getByRole("heading", { name: "Nothing is silenced" }).waitFor();
  });
  assert.match(sql("SELECT string_agg(DISTINCT actor, ' ') FROM audit WHERE action LIKE 'silence%' OR action LIKE '%silence'"), /leo/);
});

test("an admin adds a webhook, sees its secret once and removes it", { skip: !isThere }, () =>
  visit("root", async (page) => {
    await page.goto(`${url}/#/alerts/webhooks`);
    await page.getByRole("heading", { name: "Nobody is told" }).waitFor();
    await page.keyboard.press("n");
    await page.getByLabel(/^Name:/).fill("ops");
    await page.getByLabel(/^URL:/).fill("https://hooks.example.com/assay");
    await page.keyboard.press("Enter");
    await page.getByText(/^whsec_/).waitFor();
    await page.getByRole("button", { name: "It is kept" }).click();
    await page.getByRole("rowheader", { name: "ops" }).waitFor();
    await page.getByRole("button", { name: "Disable ops" }).click();
    await page.getByRole("row", { name: /ops/ }).getByText("disabled", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Remove ops" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByRole("heading", { name: "Nobody is told" }).waitFor();
  }));

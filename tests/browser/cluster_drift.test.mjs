// SPDX-License-Identifier: Apache-2.0
// Drift, quality, data and alerts of a running cluster of its own, which has decided a made-up stream of payments: the
// pages show what the monitor counted, and what is changed in them is done and written down under the user's name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, assay, cluster, isBuilt, own, run, shots, sql, urlOf, visit, waitUntilReady } from "./cluster.mjs";

/** Until the monitor has judged a window and looked at a matured day. */
async function judged() {
  for (let i = 0; i < 600; i++) {
    if (sql("SELECT EXISTS (SELECT FROM monitor_verdicts) AND EXISTS (SELECT FROM monitor_quality)") === "t") return;
    await new Promise((later) => setTimeout(later, 100));
  }
  assert.fail("the monitor judged no window");
}

const settings = {
  ASSAY_MONITOR_DRIFT: '{"learn_entries":0,"baseline_rows":300,"window_rows":300}',
  ASSAY_ALERT_HOLD: "0s",
};
cluster(settings, async () => {
  const stream = `${own}/stream.ndjson`;
  assay(["simulate", "--transactions", "12000", "--seed", "3", "--out", stream]);
  run(["train", stream, "--warm-up", "2", "--trees", "20", "--promote"]);
  run(["rules", "publish", "models/rules-starter.yaml", "--wait", "--allow-unknown"]);
  waitUntilReady();
  run(["accounts", "create", "replayed", "--clock", "simulated"]);
  const key = run(["keys", "create", "replayed", "--quiet", "--scopes", "all"]).trim();
  run(["replay", stream, "--key", key, "--limit", "1500", "--deadline-ms", "10000", "--quiet"]);
  addUser("root", "admin");
  addUser("leo", "lead");
  await judged();
});

test("drift, quality and data show what the monitor counted", { skip: !isBuilt }, () =>
  visit("leo", async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/drift`);
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
    await page.goto(`${urlOf("dashboard")}/#/drift/data?hours=720`);
    await page.getByRole("region", { name: "Table of hours" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.goto(`${urlOf("dashboard")}/#/drift/requests`);
    await page.getByText(/No model was asked for|^Asked$/).first().waitFor();
  }));

test("a lead silences an alert; it is written down under the lead's name", { skip: !isBuilt }, async () => {
  sql(
    "INSERT INTO monitor_conditions (condition, kind, subject, severity, lane, value, threshold, text, is_raised, since, change) VALUES " +
      "('test', 'drift', 'amount', 'warning', 0, 0.2, NULL, '<b>a test</b>', true, now(), nextval('monitor_condition_changes'))",
  );
  await visit("leo", async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/alerts`);
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

test("an admin adds a webhook, sees its secret once and removes it", { skip: !isBuilt }, () =>
  visit("root", async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/alerts/webhooks`);
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

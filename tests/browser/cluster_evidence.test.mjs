// SPDX-License-Identifier: Apache-2.0
// Cases of a running cluster with a trained model: twenty are cleared by keyboard alone, two analysts never get the same,
// and a case is compared with what was really decided.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, assay, cluster, isBuilt, own, run, shots, urlOf, visit as visitAs, waitUntilReady } from "./cluster.mjs";

const day = "2024-02-18";

const settings = {
  ASSAY_DASHBOARD_CASES: "approve,challenge,review,decline",
  ASSAY_DEADLINE: "10s", // other tests may have the machine
};
cluster(settings, () => {
  const stream = `${own}/stream.ndjson`;
  assay(["simulate", "--transactions", "6000", "--seed", "42", "--fraud", "4", "--out", stream]);
  const lines = readFileSync(stream, "utf8").split("\n").filter(Boolean);
  run(["accounts", "create", "demo", "--clock", "simulated"]);
  const key = run(["keys", "create", "demo", "--quiet", "--scopes", "decide,read,explain,label:chargeback,label:issuer,label:analyst,label:customer"]).trim();
  run(["train", "--catalogue", "default", "--until", `${day}T00:00:00Z`, "--trees", "30", "--promote", stream]);
  waitUntilReady();
  const live = lines.slice(lines.findIndex((line) => JSON.parse(line).known_at.startsWith(day)));
  run(["replay", "--key", key, "--deadline-ms", "10000"], live.slice(0, 250).join("\n") + "\n");
  for (const name of ["ann", "bob"]) addUser(name, "analyst");
});

const visit = (name, work) =>
  visitAs(name, async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    await work(page);
  });

/** Waits until the address is that of another case than `last`, with its decision bar. */
async function nextCase(page, last) {
  await page.waitForFunction((before) => location.hash.startsWith("#/cases/") && location.hash !== before, last);
  await page.getByRole("toolbar", { name: "Decision" }).waitFor();
  return page.evaluate(() => location.hash);
}

test("an analyst clears 20 cases of a real cluster by keyboard alone", { skip: !isBuilt }, () =>
  visit("ann", async (page) => {
    await page.keyboard.press("n");
    let at = "";
    for (let i = 0; i < 20; i++) {
      at = await nextCase(page, at);
      await page.keyboard.press(i % 2 ? "1" : "2");
      await page.getByRole("form", { name: /^Decide/ }).waitFor();
      await page.keyboard.press("2");
      await page.keyboard.press("Control+Enter");
    }
    await nextCase(page, at);
    const said = await page.evaluate(async () => (await fetch("/v1/cases?state=decided&limit=100")).json());
    assert.equal(said.cases.filter((each) => each.decided_by === "ann").length, 20);
    assert.equal(said.cases.filter((each) => each.outcome === "fraud").length, 10);
  }));

test("two analysts who press next at once never get the same case", { skip: !isBuilt }, async () => {
  const taken = { ann: [], bob: [] };
  await Promise.all(
    Object.keys(taken).map((name) =>
      visit(name, async (page) => {
        await page.keyboard.press("n");
        let at = await nextCase(page, "");
        taken[name].push(at);
        for (let i = 1; i < 25; i++) {
          await page.keyboard.press("g");
          await page.keyboard.press("n");
          at = await nextCase(page, at);
          taken[name].push(at);
        }
      }),
    ),
  );
  assert.equal(new Set([...taken.ann, ...taken.bob]).size, 50);
});

test("a case of a real cluster is compared with what was decided before", { skip: !isBuilt }, () =>
  visit("bob", async (page) => {
    await page.keyboard.press("n");
    await nextCase(page, "");
    await page.getByRole("region", { name: "Table of similar payments" }).waitFor();
    const found = await page.evaluate(async () => (await fetch(`/v1/cases/${location.hash.split("/")[2]}/similar`)).json());
    assert.equal(found.trouble, null);
    assert.ok(found.labelled + found.sampled > 100, JSON.stringify(found).slice(0, 300));
    assert.ok(found.similar.length > 0 && found.similar[0].proximity <= 1);
    await page.getByRole("heading", { name: "Related payments" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-case.png`, fullPage: true });
  }));

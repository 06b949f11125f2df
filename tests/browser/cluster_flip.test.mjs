// SPDX-License-Identifier: Apache-2.0
// What would have flipped a decision of a running cluster: the case page shows the smallest change that the service found,
// and a payment that has it is decided as was said.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, cluster, isBuilt, own, run, shots, urlOf, visit, waitUntilReady } from "./cluster.mjs";

const limit = 25000; // from there on a person looks at it
let key;

async function actionOf(id, amount) {
  const answer = await fetch(`${urlOf("ingestion")}/v1/transactions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ transaction_id: id, occurred_at: new Date().toISOString(), amount, currency: "USD", customer_id: "c-1", card_id: "k-1", merchant_id: "m-1", channel: "pos" }),
  });
  assert.ok(answer.ok, await answer.clone().text());
  return (await answer.json()).action;
}

cluster({ ASSAY_DEADLINE: "10s" }, async () => {
  const rules = `${own}/rules.json`;
  writeFileSync(rules, JSON.stringify({ rules: [{ id: "large", when: `tx.amount >= ${limit}`, action: "review", priority: 1, reason: "{tx.amount}" }] }));
  run(["rules", "publish", rules, "--wait", "--alone", "--reason", "a test"]);
  run(["accounts", "create", "shop"]);
  key = run(["keys", "create", "shop", "--quiet", "--scopes", "decide"]).trim();
  waitUntilReady();
  assert.equal(await actionOf("t-large", 40000), "review");
  addUser("ann", "analyst");
});

test("the smallest change of a real case is shown, and a payment that has it is decided as was said", { skip: !isBuilt }, () =>
  visit("ann", async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/queue`);
    await page.getByRole("link", { name: /c-1|t-large/ }).or(page.getByRole("row", { name: /c-1|t-large/ })).first().waitFor();
    await page.keyboard.press("n");
    const change = page.getByRole("list", { name: "Changes that would have made it milder" }).getByRole("listitem").first();
    await change.waitFor();
    assert.match(await change.innerText(), /tx\.amount at most \S*249\.99\S* instead of \S*400\.00[\s\S]*approve/);
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-flip.png`, fullPage: true });
    const said = await page.evaluate(async () => (await fetch(`/v1/cases/${location.hash.split("/")[2]}/flip`)).json());
    const amount = said.milder.changes.find((each) => each.name === "tx.amount");
    assert.equal(amount.after, limit - 1);
    assert.ok(amount.is_smallest);
    assert.equal(await actionOf("t-flipped", amount.after), amount.action);
    assert.equal(await actionOf("t-not-quite", amount.after + 1), "review");
  }));

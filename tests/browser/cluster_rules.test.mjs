// SPDX-License-Identifier: Apache-2.0
// A rule's whole life in a real Chromium against a cluster of its own: written with completion, tried while it is typed,
// backtested over what was really decided, shadowed, refused to its author, published by another, and rolled back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, cluster, isBuilt, run, shots, urlOf, visit } from "./cluster.mjs";

const day = 86400e3;
const begin = Date.UTC(2026, 5, 1);
let key, sent = 0;

/** The action that a payment got. */
async function pay(amount, at) {
  const body = {
    transaction_id: `t-${sent}`, occurred_at: new Date(at).toISOString(), known_at: new Date(at + 1000).toISOString(), amount, currency: "USD", customer_id: `c-${sent % 9}`, card_id: `card-${sent % 7}`, channel: "ecommerce",
  };
  sent++;
  const answer = await fetch(`${urlOf("ingestion")}/v1/transactions`, {
    method: "POST", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return JSON.parse(text).action;
}

// Other tests may have the machine.
cluster({ ASSAY_DEADLINE: "10s" }, async () => {
  run(["accounts", "create", "shop", "--clock", "simulated"]);
  key = run(["keys", "create", "shop", "--quiet", "--scopes", "all"]).trim();
  for (let i = 0; i < 120; i++) await pay(1000 + ((i * 7919) % 90000), begin + (i * 20 * day) / 120);
  addUser("ann", "rule_author,publisher", "--full-name", "Ann Example");
  addUser("bob", "publisher", "--full-name", "Bob Example");
});

const publish = async (page, version) => {
  await page.goto(`${urlOf("dashboard")}/#/rules/${version}`);
  await page.getByRole("button", { name: "Publish" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reason").fill("looked at its backtest");
  await dialog.getByRole("button", { name: "Publish" }).click();
  await page.getByText(`Version ${version} is in force.`).waitFor();
  await page.getByText(/^(\d+) of \1 processes$/).waitFor();
};

test("a rule is written, backtested, shadowed, published by another, and rolled back", { skip: !isBuilt }, async () => {
  await visit("ann", async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/rules`);
    await page.getByRole("heading", { name: "Nothing is written yet" }).waitFor();
    await page.keyboard.press("n");
    await page.getByRole("heading", { name: "New draft" }).waitFor();
    await page.keyboard.press("n");
    const field = page.getByRole("combobox", { name: "Condition of new_rule" });
    await page.waitForFunction(() => document.activeElement?.getAttribute("role") === "combobox");
    await page.keyboard.type("tx.country == 5");
    await page.getByText("compares text to number").waitFor();
    await page.screenshot({ path: `${shots}/cluster-rules-fault.png` });
    await field.fill("");
    await page.keyboard.type("amou");
    await page.getByRole("option", { name: /^tx\.amount/ }).first().waitFor();
    await page.keyboard.press("Enter");
    await page.keyboard.type(" > 50000");
    await page.getByLabel("Action").selectOption("decline");
    await page.getByRole("region", { name: "Matches of new_rule" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-rules-trial.png` });
    await page.keyboard.press("Control+s");
    await page.getByRole("heading", { name: "Version 1" }).waitFor();
    await page.getByRole("button", { name: "Backtest", exact: true }).click();
    await page.getByRole("button", { name: "Report of backtest 1" }).click();
    await page.getByRole("heading", { name: "Backtest 1, the whole history" }).waitFor();
    await page.getByText(/new_rule, 120 decisions/).waitFor();
    await page.getByText(/^sha-256 [0-9a-f]{64}$/).waitFor();
    await page.screenshot({ path: `${shots}/cluster-rules-report.png` });
    await page.getByRole("button", { name: "Shadow" }).click();
    await page.getByText("sees every decision now").waitFor();
    await page.getByText("You wrote in it.").waitFor();
    assert.equal(await page.getByRole("button", { name: "Publish" }).getAttribute("aria-disabled"), "true");
  });
  assert.equal(await pay(80000, begin + 21 * day), "approve", "in shadow it decides nothing");
  await visit("bob", async (page) => {
    await publish(page, 1);
    await page.screenshot({ path: `${shots}/cluster-rules-published.png` });
  });
  assert.equal(await pay(80001, begin + 21 * day + 1000), "decline");

  await visit("ann", async (page) => {
    await page.goto(`${urlOf("dashboard")}/#/rules/1`);
    await page.getByRole("link", { name: "New draft from it" }).click();
    await page.getByRole("combobox", { name: "Condition of new_rule" }).fill("tx.amount > 500000");
    await page.getByText("Never true in the last 30 days.").waitFor();
    await page.keyboard.press("Control+s");
    await page.getByRole("heading", { name: "Version 2" }).waitFor();
  });
  await visit("bob", async (page) => {
    await publish(page, 2);
    assert.equal(await pay(80002, begin + 21 * day + 2000), "approve");
    await page.getByRole("button", { name: "Roll back" }).click();
    const dialog = page.getByRole("dialog", { name: "Back to version 1" });
    await dialog.getByText("tx.amount > 50000", { exact: true }).waitFor();
    await page.screenshot({ path: `${shots}/cluster-rules-rollback.png` });
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await page.getByText("Version 1 is in force again.").waitFor();
    await page.goto(`${urlOf("dashboard")}/#/rules/1`);
    await page.getByText(/^(\d+) of \1 processes$/).waitFor();
    await page.getByText("Rollback").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-rules-history.png`, fullPage: true });
  });
  assert.equal(await pay(80003, begin + 21 * day + 3000), "decline");
});

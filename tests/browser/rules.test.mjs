// SPDX-License-Identifier: Apache-2.0
// The pages of rules over made-up sets: written by keyboard with completion, faults in their place, tried while typing,
// backtested, shadowed, published by another, rolled back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { faultlessPlaces, inside as insideAny, shots } from "./scene.mjs";

const roles = ["rule_author", "analyst"];
const inside = (options, work) => insideAny({ roles, ...options }, work);

const places = {
  rules: { at: "#/rules", sees: (page) => page.getByRole("region", { name: "Table of rule sets" }) },
  "rules-draft": { at: "#/rules/4", sees: (page) => page.getByRole("region", { name: "Matches of beyond_any_limit" }) },
  "rules-live": { at: "#/rules/2", sees: (page) => page.getByRole("region", { name: "Matches of beyond_any_limit" }) },
};
faultlessPlaces(places, { roles });

test("without any rule set the page teaches", () =>
  inside({ empty: true }, async (page, world) => {
    await page.goto(`${world.url}/#/rules`);
    await page.getByRole("heading", { name: "Nothing is written yet" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press("n");
    await page.getByRole("heading", { name: "No rule yet" }).waitFor();
    assert.deepEqual(await violations(page), []);
  }));

test("a rule is written by keyboard alone, with completion of names and lists", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/rules`);
    await page.getByRole("link", { name: "Version 4" }).waitFor();
    await page.keyboard.press("n");
    await page.getByRole("heading", { name: "New draft" }).waitFor();
    await page.keyboard.press("n");
    const field = page.getByRole("combobox", { name: "Condition of new_rule" });
    await field.waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute("role") === "combobox");
    await page.keyboard.type("amou");
    await page.getByRole("option", { name: /^tx\.amount\b/ }).first().waitFor();
    assert.deepEqual(await violations(page), [], "with the list open");
    await page.keyboard.press("Enter");
    await page.keyboard.type(" > 70000 && in_li");
    await page.keyboard.press("Tab");
    await page.keyboard.type('tx.customer_id, "tru');
    await page.getByRole("option", { name: /trusted_customers/ }).waitFor();
    await page.keyboard.press("Enter");
    assert.equal(await field.inputValue(), 'tx.amount > 70000 && in_list(tx.customer_id, "trusted_customers")');
    await page.getByRole("region", { name: "Matches of new_rule" }).waitFor();
    await page.keyboard.press("Control+s");
    await page.getByRole("heading", { name: "Version 5" }).waitFor();
    assert.equal(world.ruled.sets.at(-1).document.rules.at(-1).when, 'tx.amount > 70000 && in_list(tx.customer_id, "trusted_customers")');
  }));

test("a fault stands below its condition with a caret, and nothing is tried or saved until it is gone", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    const field = page.getByRole("combobox", { name: "Condition of busy_card" });
    await field.fill("tx.country == 5");
    await page.getByText("compares text to number").waitFor();
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    assert.equal(await page.locator(".faults pre").innerText(), `tx.country == 5\n${" ".repeat(11)}^`);
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/rules-fault.png` });
    assert.ok(await page.getByRole("button", { name: /^Save/ }).isDisabled());
    await field.fill('count("10m") > 5');
    await page.getByText("this window has no entity").waitFor();
    await field.fill("false");
    await page.getByText("Never true in the last 30 days.").waitFor();
    assert.ok(await page.getByRole("button", { name: /^Save/ }).isEnabled());
  }));

test("figures follow what is typed and the span, and show the interval", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    await page.getByRole("img", { name: /^Hits of beyond_any_limit a day: .* on 30 days/ }).waitFor();
    await page.getByText("38 % to 49 %").waitFor();
    await page.getByRole("button", { name: "180 d" }).click();
    await page.getByRole("img", { name: /^Hits of beyond_any_limit a day: .* on 180 days/ }).waitFor();
    await page.getByText("Newly stopped:").waitFor();
    const first = page.locator("details", { hasText: "approve → review" });
    assert.equal(await first.getAttribute("open"), "", "what stops more good customers is open");
    assert.match(await first.locator("tbody tr").first().innerText(), /good/);
  }));

test("a match opens its case", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    const matches = page.getByRole("region", { name: "Matches of beyond_any_limit" });
    await matches.getByRole("button", { name: "Open the case of tx-90001" }).first().click();
    await page.waitForFunction(() => location.hash === "#/cases/1");
  }));

test("a full backtest shows progress, can be cancelled, and its report has a hash", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    await page.getByRole("button", { name: "Backtest", exact: true }).click();
    await page.getByRole("progressbar", { name: "Backtest 1" }).waitFor();
    await page.getByRole("button", { name: "Cancel backtest 1" }).click();
    await page.getByText("cancelled").waitFor();
    await page.getByRole("button", { name: "Backtest", exact: true }).click();
    await page.getByRole("button", { name: "Report of backtest 2" }).click();
    await page.getByRole("heading", { name: "Backtest 2, the whole history" }).waitFor();
    await page.getByText("sha-256 5a5a").waitFor();
    assert.deepEqual(await violations(page), []);
  }));

test("a set has thresholds of its own, and is backtested over a span, with another model, against what people can review", () =>
  inside({ roles: ["rule_author", "lead"] }, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    await page.getByLabel("Thresholds of its own").check();
    await page.getByText("No score reaches anything").waitFor();
    await page.getByLabel("review from score").fill("0.5");
    await page.getByLabel("decline from score").fill("0.8");
    await page.getByText("When no rule speaks: review from 0.5, decline from 0.8.").waitFor();
    assert.equal(await page.getByRole("link", { name: "trusted_customers" }).getAttribute("href"), "#/lists?list=trusted_customers");
    await page.keyboard.press("Control+s");
    await page.getByText(/^revision 2/).waitFor();
    assert.deepEqual(world.ruled.sets.at(-1).document.thresholds, { review: 0.5, decline: 0.8 });
    await page.getByText("as the model has them").waitFor();
    await page.getByLabel("From, UTC").fill("2026-10-05");
    await page.getByLabel("Before, UTC").fill("2026-10-01");
    await page.getByText("The span ends before it begins.").waitFor();
    assert.ok(await page.getByRole("button", { name: "Backtest", exact: true }).isDisabled());
    await page.getByLabel("From, UTC").fill("2026-09-01");
    const model = page.getByLabel(/^Scores/);
    await model.locator("option").nth(1).waitFor({ state: "attached" });
    await model.selectOption({ index: 1 });
    const version = Number(await model.inputValue());
    await page.getByRole("button", { name: "Backtest", exact: true }).click();
    await page.getByRole("button", { name: "Report of backtest 1" }).click();
    await page.getByRole("heading", { name: `Backtest 1, from 2026-09-01, before 2026-10-01, scored by model ${version}` }).waitFor();
    assert.deepEqual(world.ruled.jobs[0].question, { against: "live", from: "2026-09-01T00:00:00Z", to: "2026-10-01T00:00:00Z", model: version });
    await page.getByLabel("Reviews a day that people can do").fill("25");
    await page.getByText("120 % of what they can do, more than that on 120 of 120 days").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/rules-thresholds.png`, fullPage: true });
  }));

test("who wrote in a set is told why another must publish it", () =>
  inside({ roles: ["rule_author", "publisher"] }, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    const button = page.getByRole("button", { name: "Publish" });
    await page.getByText("You wrote in it.").waitFor();
    assert.equal(await button.getAttribute("aria-disabled"), "true");
    await button.click({ force: true });
    assert.equal(await page.getByRole("dialog").count(), 0);
    assert.deepEqual(await violations(page), []);
  }));

test("a publisher puts another's draft in force and takes it back, told before what changes", () =>
  inside({ roles: ["publisher"] }, async (page, world) => {
    await page.goto(`${world.url}/#/rules/3`);
    await page.getByRole("button", { name: "Shadow" }).click();
    await page.getByText("sees every decision now").waitFor();
    await page.getByRole("button", { name: "Publish" }).click();
    const dialog = page.getByRole("dialog", { name: "Put version 3 in force" });
    await dialog.getByText("busy_card").waitFor();
    assert.deepEqual(await violations(page), []);
    await dialog.getByLabel("Reason").fill("cards are tested");
    await dialog.getByRole("button", { name: "Publish" }).click();
    await page.getByText("Version 3 is in force.").waitFor();
    assert.equal(world.ruled.sets.find((each) => each.version === 3).state, "published");
    await page.getByRole("button", { name: "Roll back" }).click();
    const back = page.getByRole("dialog", { name: "Back to version 2" });
    await back.getByText("busy_card").waitFor();
    await page.screenshot({ path: `${shots}/rules-rollback.png` });
    await back.getByRole("button", { name: "Roll back" }).click();
    await page.getByText("Version 2 is in force again.").waitFor();
    assert.equal(world.ruled.sets.find((each) => each.version === 2).state, "published");
  }));

test("who may only read changes nothing", () =>
  inside({ roles: ["auditor"] }, async (page, world) => {
    await page.goto(`${world.url}/#/rules/4`);
    await page.getByRole("region", { name: "Matches of beyond_any_limit" }).waitFor();
    assert.equal(await page.getByRole("combobox", { name: "Condition of busy_card" }).getAttribute("readonly"), "");
    for (const name of ["Save", "Shadow", "Backtest", "Add a rule"]) assert.equal(await page.getByRole("button", { name, exact: true }).count(), 0, name);
  }));

test("hits in force are shown with a mark where a version came into force", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/rules/2`);
    await page.getByText("Hits while in force, last 90 days").click();
    await page.getByRole("img", { name: /^Hits of beyond_any_limit in force/ }).waitFor();
    assert.equal(await page.locator(".day-bars .mark").count(), 2);
  }));

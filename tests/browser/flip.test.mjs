// SPDX-License-Identifier: Apache-2.0
// What would have flipped a decision, in the case page: in words, by keyboard, as axe sees it, and with script in texts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultless, inside } from "./scene.mjs";

const roles = ["analyst"];
const sectionOf = (page) => page.getByRole("region", { name: "What would have flipped it" });

const onCase = (number, options, work) =>
  inside({ roles, at: `#/cases/${number}`, ...options }, async (page) => {
    await sectionOf(page).waitFor();
    await work(page, sectionOf(page));
  });

const milder = (section) => section.getByRole("list", { name: "Changes that would have made it milder" });

test("the smallest changes are told with old and new value, percentile and outcome", () =>
  onCase(5, { width: 1440, height: 900 }, async (page, section) => {
    const rows = milder(section).getByRole("listitem");
    await rows.first().waitFor();
    assert.equal(await rows.count(), 3, "a few, the smallest first");
    assert.match(await rows.nth(0).innerText(), /terminals within a week at most 7 instead of 9\s+0\.40 % of payments lie between, at the 99th percentile[\s\S]*approve/);
    assert.match(await rows.nth(1).innerText(), /at most 4\.69999 instead of 8\.2\s+from the 97th to the 71st percentile/);
    assert.match(await rows.nth(2).innerText(), /tx\.amount at most \S*118\.40\S* instead of \S*320\.75/);
    await section.getByRole("list", { name: "Changes that would have made it harder" }).getByText("at least").waitFor();
    await section.getByText("tx.attributes.distance").waitFor();
  }));

test("by keyboard a change opens and says what was held fixed and what is proven", () =>
  onCase(5, {}, async (page, section) => {
    const amount = milder(section).getByRole("listitem").nth(2);
    await amount.locator("summary").focus();
    await page.keyboard.press("Enter");
    await amount.getByText("Features are computed from it too: they and the score stay as they are.").waitFor();
    await amount.getByText("Proven: no value in between does it.").waitFor();
    await section.getByRole("button", { name: "2 more" }).focus();
    await page.keyboard.press("Enter");
    const given = milder(section).getByRole("listitem").nth(4);
    await given.locator("summary").focus();
    await page.keyboard.press("Enter");
    await given.getByText(/Not proven to be the smallest/).waitFor();
  }));

test("what cannot be told is said, not made up", async () => {
  await onCase(3, {}, async (page, section) => {
    await section.getByText("A list decided.").waitFor();
    assert.equal(await section.getByRole("listitem").count(), 0);
  });
  await onCase(4, {}, (page, section) => section.getByText("does not come out again").waitFor());
  await onCase(6, {}, async (page, section) => {
    await section.getByText("No change of a single number would have made it milder.").waitFor();
    await section.getByText("count_1h").waitFor();
  });
});

test("it has no fault for axe, in both themes, from 360 px to 4K, opened", () =>
  faultless(
    "flip",
    { roles, at: "#/cases/5" },
    async (page) => {
      await sectionOf(page).getByRole("button", { name: "2 more" }).click();
      for (const summary of await sectionOf(page).locator("summary").all()) await summary.click();
    },
    sectionOf,
  ));

// SPDX-License-Identifier: Apache-2.0
// Lists and keys against a running cluster of their own: what one person puts in is what the rules service has, and a key
// that was made in the page is let in.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, cluster, isBuilt, run, urlOf, visit } from "./cluster.mjs";

cluster({}, () => {
  addUser("lea", "lead");
  addUser("root", "admin");
  run(["accounts", "create", "shop"]);
});

test("a list is made, filled after a look, searched, taken out as CSV and in again, and tells who did it", { skip: !isBuilt }, () =>
  visit("lea", async (page) => {
    await page.getByRole("link", { name: "Lists" }).click();
    await page.getByRole("heading", { name: "Nothing is listed yet" }).waitFor();
    await page.keyboard.press("n");
    await page.getByLabel(/^Name/).fill("bad_nets");
    await page.getByLabel(/^Of which field/).selectOption("ip");
    await page.getByRole("button", { name: "Make it" }).click();
    await page.getByRole("heading", { name: "bad_nets" }).waitFor();
    await page.keyboard.press("e");
    await page.getByLabel(/^Values/).fill("192.0.2.7\n198.51.100.0/24\nnowhere");
    await page.getByRole("button", { name: "See what that does" }).click();
    await page.getByText("value 3").waitFor();
    await page.getByLabel(/^Values/).fill("192.0.2.7\n198.51.100.0/24");
    await page.getByRole("button", { name: "See what that does" }).click();
    await page.getByText("2 will be new").waitFor();
    await page.getByRole("button", { name: "Add them" }).click();
    await page.getByText("2 are in bad_nets.").waitFor();
    await page.getByLabel("Find entries").fill("51.100");
    await page.getByRole("listitem").filter({ hasText: "198.51.100.0/24" }).waitFor();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV out" }).click()]);
    const text = readFileSync(await file.path(), "utf8");
    assert.equal(text, "value,note,expires_at\n192.0.2.7,,\n198.51.100.0/24,,\n");
    await page.getByRole("button", { name: "CSV in" }).click();
    await page.getByLabel(/^Columns/).setInputFiles({ name: "nets.csv", mimeType: "text/csv", buffer: Buffer.from(`${text}203.0.113.9,seen,\nwrong,,\n`) });
    await page.getByRole("button", { name: "Take it in" }).click();
    await page.getByText("line 5").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Changes" }).click();
    await page.getByRole("row").filter({ hasText: "203.0.113.9" }).filter({ hasText: "lea" }).waitFor();
    assert.deepEqual(await violations(page), []);
    assert.match(run(["lists", "show", "bad_nets"]), /203\.0\.113\.9/);
  }));

test("a key that was made in the page is let in, and not any more when it was revoked", { skip: !isBuilt }, () =>
  visit("root", async (page) => {
    await page.getByRole("link", { name: "Keys" }).click();
    await page.getByRole("heading", { name: "No key yet" }).waitFor();
    await page.keyboard.press("n");
    await page.getByRole("button", { name: "Make it" }).click();
    const key = await page.getByRole("dialog", { name: "The new key" }).getByLabel(/^Key /).inputValue();
    const ask = async () => (await fetch(`${urlOf("ingestion")}/v1/transactions/none`, { headers: { Authorization: `Bearer ${key}` } })).status;
    assert.equal(await ask(), 404, "known, and there is no such payment");
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByRole("button", { name: /^Revoke/ }).click();
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByRole("heading", { name: "No key fits" }).waitFor();
    for (let i = 0; i < 100 && (await ask()) !== 401; i++) await new Promise((later) => setTimeout(later, 100));
    assert.equal(await ask(), 401);
    assert.deepEqual(await violations(page), []);
  }));

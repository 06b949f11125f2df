// SPDX-License-Identifier: Apache-2.0
// The pages against a running cluster of their own: log-in, roles, users, the audit trail, the policy that the service
// itself sends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, cluster, isBuilt, password, urlOf, visit } from "./cluster.mjs";

cluster({}, () => {
  addUser("ann", "analyst,lead", "--full-name", "Ann Example");
  addUser("root", "admin");
});

test("the service sends the pages under a policy without anything inline", { skip: !isBuilt }, async () => {
  const answer = await fetch(urlOf("dashboard"));
  const policy = answer.headers.get("content-security-policy");
  assert.match(policy, /script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.match(await answer.text(), /<div id="root">/);
});

test("an admin adds a user, who can log in; the trail tells it and is whole", { skip: !isBuilt }, async () => {
  await visit("root", async (page) => {
    await page.getByRole("link", { name: "Users" }).click();
    await page.getByRole("rowheader", { name: "ann" }).waitFor();
    await page.keyboard.press("n");
    await page.getByLabel("Name to log in with").fill("carl");
    await page.getByLabel("Full name").fill("<b>Carl</b>");
    await page.getByLabel("First password").fill(password);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("rowheader", { name: "carl" }).waitFor();
    await page.getByText("<b>Carl</b>").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("link", { name: "Audit trail" }).click();
    await page.getByRole("cell", { name: "carl", exact: true }).waitFor();
    await page.getByRole("button", { name: "Verify the chain" }).click();
    await page.getByText(/^whole: /).waitFor();
    assert.deepEqual(await violations(page), []);
  });
  await visit("carl", (page) => page.getByRole("button", { name: /account and theme/ }).waitFor());
});

test("an analyst sees no page of an admin, and logs out", { skip: !isBuilt }, () =>
  visit("ann", async (page) => {
    await page.getByRole("button", { name: /account and theme/ }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Users" }).count(), 0);
    await page.getByRole("button", { name: /account and theme/ }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.getByLabel("Password").waitFor();
    await page.reload();
    await page.getByLabel("Password").waitFor();
  }));

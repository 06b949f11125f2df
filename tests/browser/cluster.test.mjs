// SPDX-License-Identifier: Apache-2.0
// The pages against a running cluster of their own: log-in, roles, users, the audit trail, the policy that the service
// itself sends.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, logIn, open, violations } from "./chromium.mjs";

const build = process.env.ASSAY_BUILD ?? fileURLToPath(new URL("../../build/plain", import.meta.url));
const assay = join(build, "bin/assay");
const hasProgram = existsSync(join(build, "bin/dashboard"));
const password = "correct horse battery staple";
const own = hasProgram ? mkdtempSync(join(tmpdir(), "assay-browser-")) : "";
const home = join(own, "home");
const run = (args, input = "") => execFileSync(assay, [...args, "--home", home], { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
let browser, url;

before(async () => {
  if (!hasProgram) return;
  process.env.ASSAY_DASHBOARD_PAGES = fileURLToPath(new URL("../../build/web", import.meta.url));
  run(["up", "--free-ports"]);
  // Without a model it says by its exit code that scoring is not ready; nothing here needs it.
  const all = JSON.parse(spawnSync(assay, ["status", "--json", "--home", home], { encoding: "utf8" }).stdout);
  url = all.services.find((each) => each.name.startsWith("dashboard")).url;
  run(["users", "add", "ann", "--roles", "analyst,lead", "--full-name", "Ann Example"], `${password}\n`);
  run(["users", "add", "root", "--roles", "admin"], `${password}\n`);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  if (!hasProgram) return;
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
    await work(page);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
  }
}

test("the service sends the pages under a policy without anything inline", { skip: !hasProgram }, async () => {
  const answer = await fetch(url);
  const policy = answer.headers.get("content-security-policy");
  assert.match(policy, /script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.match(await answer.text(), /<div id="root">/);
});

test("an admin adds a user, who can log in; the trail tells it and is whole", { skip: !hasProgram }, async () => {
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

test("an analyst sees no page of an admin, and logs out", { skip: !hasProgram }, () =>
  visit("ann", async (page) => {
    await page.getByRole("button", { name: /account and theme/ }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Users" }).count(), 0);
    await page.getByRole("button", { name: /account and theme/ }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.getByLabel("Password").waitFor();
    await page.reload();
    await page.getByLabel("Password").waitFor();
  }));

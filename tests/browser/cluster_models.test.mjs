// SPDX-License-Identifier: Apache-2.0
// Models on a running cluster of their own, with payments that were really decided: a model owner compares, promotes and
// rolls back through the pages; an analyst cannot.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, logIn, open, violations } from "./chromium.mjs";

const build = process.env.ASSAY_BUILD ?? fileURLToPath(new URL("../../build/plain", import.meta.url));
const shots = fileURLToPath(new URL("../../build/screenshots", import.meta.url));
const assay = join(build, "bin/assay");
const hasProgram = existsSync(join(build, "bin/dashboard"));
const password = "correct horse battery staple";
const own = hasProgram ? mkdtempSync(join(tmpdir(), "assay-browser-models-")) : "";
const home = join(own, "home");
const call = (args, input = "") => execFileSync(assay, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
const run = (args, input) => call([...args, "--home", home], input);
const models = () => JSON.parse(run(["models", "list", "--json"]));
let browser, url;

before(async () => {
  if (!hasProgram) return;
  mkdirSync(shots, { recursive: true });
  process.env.ASSAY_DASHBOARD_PAGES = fileURLToPath(new URL("../../build/web", import.meta.url));
  run(["up", "--free-ports"]);
  const stream = join(own, "stream.ndjson");
  call(["simulate", "--transactions", "12000", "--seed", "3", "--fraud", "6", "--out", stream]);
  run(["train", stream, "--warm-up", "2", "--trees", "20", "--promote"]);
  run(["train", stream, "--warm-up", "2", "--depth", "2", "--trees", "40", "--register"]);
  spawnSync(assay, ["status", "--wait", "--home", home]);
  run(["accounts", "create", "replayed", "--clock", "simulated"]);
  const key = run(["keys", "create", "replayed", "--quiet", "--scopes", "all"]).trim();
  run(["replay", stream, "--key", key, "--limit", "5000", "--deadline-ms", "10000", "--quiet"]);
  const all = JSON.parse(spawnSync(assay, ["status", "--json", "--home", home], { encoding: "utf8" }).stdout);
  url = all.services.find((each) => each.name.startsWith("dashboard")).url;
  run(["users", "add", "mo", "--roles", "model_owner", "--full-name", "Mo Owner"], `${password}\n`);
  run(["users", "add", "ann", "--roles", "analyst"], `${password}\n`);
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
    await page.getByRole("button", { name: /account and theme/ }).waitFor();
    await work(page);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
  }
}

test("a model owner compares two versions on real decisions, promotes one and rolls back", { skip: !hasProgram }, () =>
  visit("mo", async (page) => {
    const { name, version: first } = models().find((each) => each.state === "champion");
    const second = models().find((each) => each.state !== "champion").version;
    await page.goto(`${url}/#/models/compare?days=3650&mature=0`);
    await page.getByRole("img", { name: /^Money/ }).waitFor();
    await page.getByText(/\d decisions from .* of them frauds/).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-models-compare.png` });

    await page.goto(`${url}/#/models`);
    await page.getByRole("button", { name: `Promote ${name} ${second}` }).click();
    await page.getByText(`Version ${first}`).waitFor();
    await page.screenshot({ path: `${shots}/cluster-models-promote.png` });
    await page.getByLabel("Why, for the audit trail").fill("more trees");
    await page.getByRole("button", { name: `Make version ${second} the champion` }).click();
    await page.getByText(`${name} ${second} is the champion.`).waitFor();
    assert.equal(models().find((each) => each.version === second).state, "champion");

    await page.getByRole("button", { name: `Roll ${name} back to ${first}` }).click();
    await page.getByLabel("Why, for the audit trail").fill("review load");
    await page.getByRole("button", { name: `Go back to version ${first}` }).click();
    await page.getByText(`${name} ${first} is the champion.`).waitFor();
    assert.equal(models().find((each) => each.version === first).state, "champion");
    await page.getByRole("button", { name: /^Roll / }).waitFor({ state: "detached" });

    await page.goto(`${url}/#/models/card/${name}/${second}`);
    await page.getByText("more trees").first().waitFor();
    await page.getByText("mo", { exact: true }).first().waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-models-card.png`, fullPage: true });
    for (const [at, heading] of [["experiments", "No experiment yet"], ["retraining", "Nothing was trained yet"], ["slice", "The slice is off"]]) {
      await page.goto(`${url}/#/models/${at}`);
      await page.getByRole("heading", { name: heading }).waitFor();
    }
  }));

test("an analyst is not offered models, and is refused what the page would ask for", { skip: !hasProgram }, () =>
  visit("ann", async (page) => {
    assert.equal(await page.getByRole("link", { name: "Models" }).count(), 0);
    await page.goto(`${url}/#/models`);
    await page.getByRole("heading", { name: "Your roles do not open this page" }).waitFor();
    const champion = models().find((each) => each.state === "champion");
    const statuses = await page.evaluate(async (name) => {
      const { csrf } = await (await fetch("/v1/session")).json();
      const ask = async (method, path, body) =>
        (await fetch(path, { method, body: body && JSON.stringify(body), headers: { "X-CSRF-Token": csrf, "Content-Type": "application/json" } })).status;
      return [
        await ask("GET", "/v1/models"), await ask("POST", `/v1/models/${name}:promote`, { version: 2, reason: "me" }),
        await ask("POST", `/v1/models/${name}:rollback`, { reason: "me" }),
      ];
    }, champion.name);
    assert.deepEqual(statuses, [403, 403, 403]);
    assert.equal(models().find((each) => each.state === "champion").version, champion.version);
  }));

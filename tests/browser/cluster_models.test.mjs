// SPDX-License-Identifier: Apache-2.0
// Models on a running cluster of their own, with payments that were really decided: a model owner compares, promotes and
// rolls back through the pages; an analyst cannot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { addUser, assay, cluster, isBuilt, own, run, shots, urlOf, visit, waitUntilReady } from "./cluster.mjs";

const models = () => JSON.parse(run(["models", "list", "--json"]));

cluster({}, () => {
  const stream = `${own}/stream.ndjson`;
  assay(["simulate", "--transactions", "12000", "--seed", "3", "--fraud", "6", "--out", stream]);
  run(["train", stream, "--warm-up", "2", "--trees", "20", "--promote"]);
  run(["train", stream, "--warm-up", "2", "--depth", "2", "--trees", "40", "--register"]);
  waitUntilReady();
  run(["accounts", "create", "replayed", "--clock", "simulated"]);
  const key = run(["keys", "create", "replayed", "--quiet", "--scopes", "all"]).trim();
  run(["replay", stream, "--key", key, "--limit", "5000", "--deadline-ms", "10000", "--quiet"]);
  addUser("mo", "model_owner", "--full-name", "Mo Owner");
  addUser("ann", "analyst");
});

test("a model owner compares two versions on real decisions, promotes one and rolls back", { skip: !isBuilt }, () =>
  visit("mo", async (page) => {
    const { name, version: first } = models().find((each) => each.state === "champion");
    const second = models().find((each) => each.state !== "champion").version;
    await page.goto(`${urlOf("dashboard")}/#/models/compare?days=3650&mature=0`);
    await page.getByRole("img", { name: /^Money/ }).waitFor();
    await page.getByText(/\d decisions from .* of them frauds/).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-models-compare.png` });

    await page.goto(`${urlOf("dashboard")}/#/models`);
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

    await page.goto(`${urlOf("dashboard")}/#/models/card/${name}/${second}`);
    await page.getByText("more trees").first().waitFor();
    await page.getByText("mo", { exact: true }).first().waitFor();
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: `${shots}/cluster-models-card.png`, fullPage: true });
    for (const [at, heading] of [["experiments", "No experiment yet"], ["retraining", "Nothing was trained yet"], ["slice", "The slice is off"]]) {
      await page.goto(`${urlOf("dashboard")}/#/models/${at}`);
      await page.getByRole("heading", { name: heading }).waitFor();
    }
  }));

test("an analyst is not offered models, and is refused what the page would ask for", { skip: !isBuilt }, () =>
  visit("ann", async (page) => {
    assert.equal(await page.getByRole("link", { name: "Models" }).count(), 0);
    await page.goto(`${urlOf("dashboard")}/#/models`);
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

// SPDX-License-Identifier: Apache-2.0
// What the pages do with what they are told as it happens.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hostile } from "./mock.mjs";
import { inside as insideAny } from "./scene.mjs";

const inside = (at, work) => insideAny({ at }, work);

const until = async (is, what) => {
  for (let i = 0; i < 500 && !(await is()); i++) await new Promise((go) => setTimeout(go, 20));
  assert.ok(await is(), what);
};

const decision = (id) => ({
  account: "demo", transaction_id: id, action: "decline", score: 0.97, amount_minor: 1234, currency: "EUR",
  amount_base_minor: 1234, decided_at: new Date().toISOString(), case: 1,
});

test("the overview shows decisions as they are made, the newest first, and how many a second", () =>
  inside("#/overview", async (page, world) => {
    const rows = page.getByRole("region", { name: "Newest decisions" }).getByRole("row");
    await rows.nth(8).waitFor();
    world.tell("decisions", { count: 40, in_ms: 500, decisions: [decision("tx-first"), decision(hostile)] });
    await page.getByText("80 a second").waitFor();
    assert.ok((await rows.nth(1).innerText()).includes(hostile), "text stays text");
    assert.ok((await rows.nth(2).innerText()).includes("tx-first"));
    for (let i = 0; i < 20; i++)
      world.tell("decisions", { count: 50, in_ms: 500, decisions: Array.from({ length: 50 }, (_, k) => decision(`tx-${i}-${k}`)) });
    await until(async () => (await rows.nth(1).innerText()).includes("tx-19-49"), "the newest is seen");
    assert.equal(await rows.count(), 51, "the page keeps the newest fifty");
    await page.getByRole("button", { name: "Pause" }).click();
    world.tell("decisions", { count: 1, in_ms: 500, decisions: [decision("tx-unheard")] });
    await new Promise((go) => setTimeout(go, 300));
    assert.equal(await page.getByText("tx-unheard").count(), 0, "what is read stays");
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("tx-unheard").waitFor();
  }));

test("the queue looks again when it is told of a change, and the overview when there is an alert", () =>
  inside("#/queue", async (page, world) => {
    const asked = (path) => world.requests.filter((each) => each === `GET ${path}`).length;
    await page.getByRole("row").nth(3).waitFor();
    await until(() => world.listeners() === 1, "one stream a page");
    const before = asked("/v1/cases");
    world.tell("queue", { open: 1, assigned: 0, overdue: 0, newest: 1, changes: 1 });
    await until(() => asked("/v1/cases") > before, "it asks for the cases");
    await page.goto(`${world.url}/#/overview`);
    await page.getByRole("region", { name: "Newest decisions" }).waitFor();
    await until(() => world.listeners() === 1, "one stream a page");
    const seen = asked("/v1/overview");
    world.tell("alerts", { pending: 0, firing: 1, newest: 1 });
    await until(() => asked("/v1/overview") > seen, "it asks how things stand");
    await page.goto(`${world.url}/#/users`);
    await until(() => world.listeners() === 0, "nothing listens where nothing is shown");
  }));

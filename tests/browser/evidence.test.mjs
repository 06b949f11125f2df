// SPDX-License-Identifier: Apache-2.0
// What a case is compared with: the graph by keyboard and as a table, similar past payments, places; script in any text.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { faultless, inside as insideAny } from "./scene.mjs";

const related = (page) => page.getByRole("region", { name: "Table of related payments" }).waitFor();

const inside = (place, options, work) =>
  insideAny({ at: `#/${place}`, ...options }, async (page, world) => {
    await related(page);
    await work(page, world);
  });

test("all that a case is compared with has no fault for axe, in both themes, from 360 px to 4K", () =>
  faultless("evidence", { at: "#/cases/1" }, async (page) => {
    await related(page);
    await page.getByRole("region", { name: "Table of similar payments" }).waitFor();
    await page.getByRole("region", { name: "Table of places" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "As a table" }).click();
    await page.getByRole("region", { name: "Table of what it is tied to" }).waitFor();
  }));

test("the graph is walked by arrow keys, and Enter shows the payments of a node", () =>
  inside("cases/1", {}, async (page) => {
    const rows = page.getByRole("region", { name: "Table of related payments" }).getByRole("row");
    const all = await rows.count();
    const graph = page.getByRole("group", { name: /^What this payment is tied to/ });
    await graph.locator("[tabindex='0']").focus();
    const first = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    await page.keyboard.press("ArrowUp");
    const second = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    assert.notEqual(first, second);
    assert.match(second, /card|device/);
    await page.keyboard.press("Enter");
    await page.getByText(/^\d+ payments of /).waitFor();
    assert.ok((await rows.count()) < all);
    assert.equal(await graph.locator("[aria-pressed='true']").count(), 1);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press(" ");
    assert.equal(await graph.locator("[aria-pressed='true']").count(), 2);
    await page.getByRole("button", { name: "Show all" }).click();
    assert.equal(await rows.count(), all);
  }));

test("the table says the same as the picture, and what was cut", () =>
  inside("cases/1", {}, async (page) => {
    const nodes = await page.getByRole("group", { name: /^What this payment is tied to/ }).locator("[data-node]").count();
    await page.getByRole("button", { name: "As a table" }).click();
    const table = page.getByRole("region", { name: "Table of what it is tied to" });
    assert.equal(await table.getByRole("row").count(), nodes + 1);
    await table.getByText("a hub with more than 10,000 payments by at least 8,123 customers, not followed").waitFor();
    await table.getByRole("button").nth(1).click();
    await page.getByText(/^\d+ payments of /).waitFor();
    await page.getByText("1 not followed to the end").click();
    await page.getByText("12 times something was found for which there was no room").waitFor();
  }));

test("cases among related payments are decided at once, and by keyboard", () =>
  inside("cases/1", {}, async (page, world) => {
    await page.getByRole("button", { name: /^Choose \d open cases$/ }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: /^Decide \d$/ }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText(/4 cases/).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("dialog").getByLabel("Outcome").selectOption("fraud");
    await page.getByRole("button", { name: "Decide 4", exact: true }).last().click();
    await page.getByText("4 cases are decided.").waitFor();
    assert.equal(world.cases.filter((each) => each.outcome === "fraud").length, 4);
  }));

test("who may not decide has no box to choose by", () =>
  inside("cases/1", { roles: ["auditor"] }, async (page) => {
    assert.equal(await page.getByRole("checkbox").count(), 0);
    assert.equal(await page.getByRole("button", { name: /^Choose/ }).count(), 0);
  }));

test("similar payments come with what became of them, and those without a label can be left out", () =>
  inside("cases/1", {}, async (page) => {
    const table = page.getByRole("region", { name: "Table of similar payments" });
    await page.getByText("31 were fraud").waitFor();
    assert.equal(await table.getByText("no label").count(), 4);
    await page.getByRole("button", { name: "With a label" }).click();
    assert.equal(await table.getByText("no label").count(), 0);
    await page.getByText(/model 17.s 300 trees/).waitFor();
  }));

test("a case that cannot be compared says why", () =>
  inside("cases/4", {}, (page) => page.getByText("Nothing can be compared: it was decided without features.").waitFor()));

test("distance and speed stand in words, and without coordinates nothing is shown", async () => {
  await inside("cases/1", {}, async (page) => {
    await page.getByText("faster than an airliner flies").waitFor();
    await page.getByRole("img", { name: /^The places, numbered/ }).waitFor();
    assert.equal(await page.locator(".map image, .map use").count(), 0);
  });
  await inside("cases/3", {}, async (page) => {
    await page.getByRole("region", { name: "Table of similar payments" }).waitFor();
    assert.equal(await page.getByRole("heading", { name: "Places" }).count(), 0);
  });
});

test("the timeline tells shadow decisions apart", () =>
  inside("cases/1", {}, async (page) => {
    await page.getByText("Would have said decline, in shadow").waitFor();
    await page.getByRole("group", { name: "What is shown" }).getByRole("button", { name: "shadow" }).click();
    assert.equal(await page.locator(".timeline > li").count(), 1);
  }));

test("what is not needed for the first paint is fetched after it", () =>
  insideAny({}, async (page, world) => {
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(`${world.url}/#/cases/1`);
    await page.getByRole("region", { name: "Table of similar payments" }).waitFor();
    const case_ = asked.findIndex((path) => path === "/v1/cases/1");
    for (const part of ["similar", "graph", "velocity"]) assert.ok(asked.indexOf(`/v1/cases/1/${part}`) > case_, part);
    assert.ok(asked.some((path) => /related.*\.js/.test(path)), "a file of its own");
  }));

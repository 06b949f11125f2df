// SPDX-License-Identifier: Apache-2.0
// The pages about models over a made-up registry: as axe sees them, by keyboard, by role, empty, with script in texts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { faultlessPlaces, inside as insideAny } from "./scene.mjs";

const owner = ["model_owner"];
const inside = (options, work) => insideAny({ roles: owner, ...options }, work);

const places = {
  models: { at: "#/models", sees: (page) => page.getByRole("region", { name: "Table of models" }), empty: /^No model/ },
  "models-card": { at: "#/models/card/handbook/17", sees: (page) => page.getByRole("img", { name: /^Money/ }) },
  "models-compare": { at: "#/models/compare", sees: (page) => page.getByRole("img", { name: /^Money/ }), empty: /^Nothing to compare/ },
  "models-experiments": { at: "#/models/experiments", sees: (page) => page.getByRole("region", { name: "Table of experiments" }), empty: /^No experiment/ },
  "models-experiment": { at: "#/models/experiments/3", sees: (page) => page.getByRole("img", { name: /^Evidence/ }) },
  "models-retraining": { at: "#/models/retraining", sees: (page) => page.getByRole("region", { name: "Table of schedules" }), empty: /^Nothing was trained/ },
  "models-slice": { at: "#/models/slice", sees: (page) => page.getByRole("region", { name: "Table of the control slice" }), empty: /^The slice is off/ },
};

faultlessPlaces(places, { roles: owner });

test("a model owner promotes by keyboard, is told what will change, and rolls back", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/models`);
    await page.getByRole("link", { name: "handbook 17", exact: true }).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "handbook 17" }).waitFor();
    await page.getByRole("button", { name: "Promote", exact: true }).and(page.locator(":enabled")).waitFor();
    await page.keyboard.press("p");
    const dialog = page.getByRole("dialog", { name: "Promote handbook 17" });
    await dialog.getByText(/Version 17 .* becomes the champion/).waitFor();
    await dialog.getByText(/Version 16 .* retires/).waitFor();
    await dialog.getByText(/Experiment 3 \(ab, version 17\) stops/).waitFor();
    await dialog.getByText(/decline from 74 %/).first().waitFor();
    assert.deepEqual(await violations(page), []);
    const make = dialog.getByRole("button", { name: "Make version 17 the champion" });
    assert.ok(await make.isDisabled(), "a reason is asked for");
    await dialog.getByLabel("Why, for the audit trail").fill("better on frauds of last month");
    await page.keyboard.press("Enter");
    await page.getByText("handbook 17 is the champion.").waitFor();
    assert.equal(world.lifecycle.models.find((each) => each.version === 17).state, "champion");

    await page.goto(`${world.url}/#/models`);
    await page.getByRole("button", { name: "Roll handbook back to 16" }).click();
    await page.getByText(/is no way back/).waitFor();
    await page.getByLabel("Why, for the audit trail").fill("review load");
    await page.getByRole("button", { name: "Go back to version 16" }).click();
    await page.getByText("handbook 16 is the champion.").waitFor();
    assert.equal(world.lifecycle.models.find((each) => each.version === 16).state, "champion");
    await page.getByRole("button", { name: /^Roll / }).waitFor({ state: "detached" });
  }));

test("who was overtaken is told, and nothing changes", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/models`);
    await page.getByRole("button", { name: "Promote handbook 18" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/It failed: Average precision/).waitFor();
    const reigning = world.lifecycle.models.find((each) => each.version === 16);
    reigning.state = "retired";
    world.lifecycle.models.find((each) => each.version === 15).state = "champion";
    await dialog.getByLabel("Why, for the audit trail").fill("now");
    await dialog.getByRole("button", { name: "Make version 18 the champion" }).click();
    await dialog.getByRole("alert").filter({ hasText: "The champion is 15" }).waitFor();
    assert.equal(world.lifecycle.models.find((each) => each.version === 18).state, "registered");
  }));

test("who is no model owner sees all of it and can change nothing", () =>
  inside({ roles: ["auditor"] }, async (page, world) => {
    for (const { at, sees } of Object.values(places)) {
      await page.goto(`${world.url}/${at}`);
      await sees(page).waitFor();
      assert.equal(await page.getByRole("button", { name: /^(Promote|Roll|Stop|Request|Cancel|Add a schedule|Change|Remove)/ }).count(), 0, at);
    }
    assert.ok(world.requests.every((each) => each.startsWith("GET ")), world.requests.join(", "));
  }));

test("an analyst is not offered the page", () =>
  inside({ roles: ["analyst"] }, async (page, world) => {
    await page.goto(`${world.url}/#/models`);
    await page.getByRole("heading", { name: "Your roles do not open this page" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Models" }).count(), 0);
  }));

test("a run is requested and cancelled, a schedule made, changed and removed", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/models/retraining`);
    await page.getByRole("progressbar", { name: /trial 9 of 20/ }).waitFor();
    await page.keyboard.press("n");
    await page.getByRole("dialog", { name: "Request a run" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByLabel("Why", { exact: true }).fill("new merchants");
    await page.getByLabel("Trials of parameters").fill("5");
    await page.getByRole("button", { name: "Request it" }).click();
    await page.getByRole("rowheader", { name: "handbook 21" }).waitFor();
    assert.deepEqual(world.lifecycle.runs()[0].settings, { trials: 5 });
    await page.getByRole("button", { name: "Cancel run 20" }).click();
    await page.getByRole("button", { name: "Cancel the run" }).click();
    await page.getByText("stopping", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Change the schedule of handbook" }).click();
    await page.getByLabel("When: minute hour day month weekday").fill("0 4 * * *");
    await page.getByRole("button", { name: "Keep it" }).click();
    await page.getByText("0 4 * * *").waitFor();
    assert.deepEqual(world.lifecycle.schedules()[0].settings, { trials: 20 });
    await page.getByRole("button", { name: "Remove the schedule of handbook" }).click();
    await page.getByRole("button", { name: "Remove the schedule", exact: true }).click();
    await page.getByRole("heading", { name: "No schedule" }).waitFor();
  }));

test("an experiment shows its evidence and is stopped after saying what that means", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/models/experiments`);
    await page.getByRole("link", { name: "handbook 3" }).click();
    await page.getByText(/9 looks; at the last one 81,000 of 120,000/).waitFor();
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByText(/not tried again by itself/).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Stop it" }).click();
    await page.getByText("stopped", { exact: true }).waitFor();
    assert.equal(world.lifecycle.experiments[0].state, "stopped");
  }));

test("curves and lists are exported as CSV", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/models/compare`);
    await page.getByRole("img", { name: /^Money/ }).waitFor();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV: Money by decline threshold" }).click()]);
    assert.equal(file.suggestedFilename(), "money-by-decline-threshold.csv");
    await page.goto(`${world.url}/#/models`);
    const [list] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV", exact: true }).click()]);
    assert.equal(list.suggestedFilename(), "models.csv");
  }));

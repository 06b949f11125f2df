// SPDX-License-Identifier: Apache-2.0
// The pages of drift, quality, data, retraining and alerts over a made-up world: as axe sees them in both themes and
// three widths, full and empty, by keyboard, and with script in texts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { hostile } from "./mock.mjs";
import { faultlessPlaces, inside as insideAny } from "./scene.mjs";

const inside = (options, work) => insideAny({ roles: ["admin"], ...options }, work);

const table = (name) => (page) => page.getByRole("region", { name });
const empty = /^(No|Nothing|Nobody) /;
const places = {
  drift: { at: "#/drift", sees: table("Table of subjects"), empty },
  "drift-subject": { at: "#/drift?subject=feature%2F%2Famount", sees: table("Table of bins") },
  quality: { at: "#/drift/quality", sees: table("Table of days"), empty },
  data: { at: "#/drift/data", sees: table("Table of hours"), empty },
  retraining: { at: "#/drift/requests", sees: table("Table of requests"), empty },
  alerts: { at: "#/alerts", sees: (page) => page.getByRole("list", { name: "Alerts" }), empty },
  alert: { at: "#/alerts?alert=9", sees: table("Table of deliveries") },
  silences: { at: "#/alerts/silences", sees: (page) => page.getByRole("heading", { name: "Nothing is silenced" }), empty },
  webhooks: { at: "#/alerts/webhooks", sees: table("Table of webhooks"), empty },
};

faultlessPlaces(places, { roles: ["admin"] });

test("by keyboard from the subjects to how one lies in its bins, and back", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/drift`);
    await table("Table of subjects")(page).waitFor();
    await page.getByText("2 subjects drift").waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "amount", exact: true }).getByText("18.2 % of decisions").waitFor();
    await page.keyboard.press("j");
    await page.getByRole("region", { name: "device_age_days", exact: true }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => !location.hash.includes("subject"));
    await page.keyboard.press("2");
    await page.getByRole("heading", { name: "By day" }).waitFor();
    await page.keyboard.press("3");
    await page.getByRole("heading", { name: "By hour" }).waitFor();
    await page.keyboard.press("4");
    await table("Table of requests")(page).waitFor();
  }));

test("a day that has not matured shows nothing realised, and what is expected with its error", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/drift/quality`);
    const days = table("Table of days")(page);
    await days.waitFor();
    assert.equal(await days.locator("tr.is-young").count(), 8);
    assert.equal(await days.locator("tr.is-young").first().locator("td").nth(4).innerText(), "–");
    await page.getByText("it was off by 0.0340 on average").waitFor();
    await page.getByText("They say too little").waitFor();
    await page.getByLabel("Figure").selectOption("Card precision");
  }));

test("lists are saved as CSV", () =>
  inside({}, async (page, world) => {
    for (const [at, name, expected] of [
      ["#/drift", "drift.csv", /^kind,field,name,[^]*\r\nfeature,,amount,41,/],
      ["#/drift/quality", "quality.csv", /^day,is_matured,[^]*\r\n2026-03-01,false,/],
      ["#/drift/data", "data-health.csv", /^from,transactions,/],
      ["#/alerts", "alerts.csv", /^id,name,severity,[^]*\r\n9,Drift,warning,firing,/],
    ]) {
      await page.goto(`${world.url}/${at}`);
      await page.locator(".panel").first().waitFor();
      const [saved] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV", exact: true }).first().click()]);
      assert.equal(saved.suggestedFilename(), name);
      const chunks = [];
      for await (const chunk of await saved.createReadStream()) chunks.push(chunk);
      assert.match(Buffer.concat(chunks).toString(), expected);
    }
  }));

test("an alert is opened, read up in the manual and silenced by keyboard; the silence is ended", () =>
  inside({ roles: ["lead"] }, async (page, world) => {
    await page.goto(`${world.url}/#/alerts`);
    await page.getByRole("list", { name: "Alerts" }).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByText("Features, scores or actions are not distributed as in training").waitFor();
    await page.keyboard.press("s");
    await page.getByRole("dialog", { name: "Silence" }).getByText("1 open alert of those listed fits").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByLabel(/^Why/).fill(hostile);
    await page.keyboard.press("Enter");
    await page.getByText("Silent until").waitFor();
    await page.getByText("silenced", { exact: true }).first().waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("3");
    await page.getByRole("rowheader", { name: "alertname=Drift, lane=0, subject=amount" }).waitFor();
    await page.getByText(hostile).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "End now: silence 1" }).click();
    await page.getByRole("heading", { name: "Nothing is silenced" }).waitFor();
    assert.equal(await page.getByRole("link", { name: /Webhooks/ }).count(), 0, "they are an admin's");
  }));

test("an admin adds a webhook, sees its secret once, tests, disables and removes it", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/alerts/webhooks`);
    await table("Table of webhooks")(page).waitFor();
    await page.keyboard.press("n");
    await page.getByLabel(/^Name:/).fill("chat");
    await page.getByLabel(/^URL:/).fill("http://chat.example.com/");
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "not https" }).waitFor();
    await page.getByLabel(/^URL:/).fill("https://chat.example.com/hook");
    await page.keyboard.press("Enter");
    await page.getByText("whsec_bWFkZSB1cCBmb3IgdGVzdHM=").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "It is kept" }).click();
    await page.getByRole("rowheader", { name: "chat" }).waitFor();
    assert.equal(await page.getByText("whsec_").count(), 0);
    await page.getByRole("button", { name: "Test chat" }).click();
    await page.getByText("chat took the message: HTTP 200.").waitFor();
    await page.getByRole("button", { name: "Disable chat" }).click();
    await page.getByRole("row", { name: /chat/ }).getByText("disabled").waitFor();
    await page.getByRole("button", { name: "New secret of chat" }).click();
    await page.getByText("whsec_YW5vdGhlciBvbmU=").waitFor();
    await page.getByRole("button", { name: "It is kept" }).click();
    await page.getByRole("button", { name: "Remove chat" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("chat is gone.").waitFor();
  }));

test("an auditor sees webhooks and silences, and can change neither", () =>
  inside({ roles: ["auditor"] }, async (page, world) => {
    await page.goto(`${world.url}/#/alerts/webhooks`);
    await table("Table of webhooks")(page).waitFor();
    assert.equal(await page.getByRole("button", { name: /^(Add|Test|New secret|Disable|Remove)/ }).count(), 0);
    await page.goto(`${world.url}/#/alerts?alert=9`);
    await table("Table of deliveries")(page).waitFor();
    assert.equal(await page.getByRole("button", { name: /^Silence/ }).count(), 0);
  }));

test("script in a text stays text", () =>
  inside({}, async (page, world) => {
    for (const at of ["#/drift?subject=feature%2F%2Famount", "#/drift/requests", "#/alerts?alert=8"]) {
      await page.goto(`${world.url}/${at}`);
      await page.getByText(hostile).first().waitFor();
    }
    assert.equal(await page.locator("#root img[src=x]").count(), 0);
  }));

// SPDX-License-Identifier: Apache-2.0
// The pages of drift, quality, data, retraining and alerts over a made-up world: as axe sees them in both themes and
// three widths, full and empty, by keyboard, and with script in texts.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isThere, launch, open, violations } from "./chromium.mjs";
import { hostile, mock } from "./mock.mjs";

const pages = fileURLToPath(new URL("../../build/web", import.meta.url));
const shots = fileURLToPath(new URL("../../build/screenshots", import.meta.url));
let browser;

before(async () => {
  assert.ok(isThere, "Chromium is needed: apt-get install chromium");
  mkdirSync(shots, { recursive: true });
  browser = await launch();
});
after(() => browser?.close());

async function inside(options, work) {
  const world = await mock({ pages, loggedIn: true, roles: ["admin"], ...options });
  const { page, complaints, close } = await open(browser, options);
  page.setDefaultTimeout(15000);
  try {
    await work(page, world);
    assert.deepEqual(complaints, []);
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined, "stored script ran");
  } finally {
    await close();
    world.close();
  }
}

const table = (name) => (page) => page.getByRole("region", { name });
const places = {
  drift: { at: "#/drift", sees: table("Table of subjects") },
  "drift-subject": { at: "#/drift?subject=feature%2F%2Famount", sees: table("Table of bins") },
  quality: { at: "#/drift/quality", sees: table("Table of days") },
  data: { at: "#/drift/data", sees: table("Table of hours") },
  retraining: { at: "#/drift/requests", sees: table("Table of requests") },
  alerts: { at: "#/alerts", sees: (page) => page.getByRole("list", { name: "Alerts" }) },
  alert: { at: "#/alerts?alert=9", sees: table("Table of deliveries") },
  silences: { at: "#/alerts/silences", sees: (page) => page.getByRole("heading", { name: "Nothing is silenced" }) },
  webhooks: { at: "#/alerts/webhooks", sees: table("Table of webhooks") },
};

for (const [name, { at, sees }] of Object.entries(places))
  test(`${name} has no fault for axe, in both themes, from 360 px to 4K, full and empty`, async () => {
    for (const [width, height] of [[360, 740], [1440, 900], [3840, 2160]])
      for (const theme of ["light", "dark"])
        await inside({ width, height, theme }, async (page, world) => {
          await page.goto(`${world.url}/${at}`);
          await sees(page).waitFor();
          assert.deepEqual(await violations(page), [], `${name} ${width} ${theme}`);
          const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          assert.ok(over <= 0, `${name} is ${over} px too wide at ${width}`);
          await page.screenshot({ path: `${shots}/${name}-${width}-${theme}.png` });
        });
    if (!at.includes("?"))
      await inside({ empty: true }, async (page, world) => {
        await page.goto(`${world.url}/${at}`);
        await page.getByRole("heading", { name: /^(No|Nothing|Nobody) / }).first().waitFor();
        assert.deepEqual(await violations(page), [], `${name}, empty`);
      });
  });

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

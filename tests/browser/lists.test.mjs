// SPDX-License-Identifier: Apache-2.0
// The pages of lists, keys and settings over a made-up world: as axe sees them in both themes and three widths, full and
// empty, by keyboard, and with script in texts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { violations } from "./chromium.mjs";
import { hostile } from "./mock.mjs";
import { faultlessPlaces, inside as insideAny } from "./scene.mjs";

const inside = (options, work) => insideAny({ roles: ["admin"], ...options }, work);

const empty = /^(No|Nothing) /;
const places = {
  lists: { at: "#/lists?list=blocked_cards", sees: (page) => page.getByRole("listitem").filter({ hasText: "k-0001" }), empty },
  settings: { at: "#/settings", sees: (page) => page.getByRole("region", { name: /^Table of settings/ }), empty },
  keys: { at: "#/keys", sees: (page) => page.getByRole("region", { name: "Table of keys" }), empty },
};

faultlessPlaces(places, { roles: ["admin"] });

test("values are put into a list by keyboard, after a look at what that does", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/${places.lists.at}`);
    await places.lists.sees(page).waitFor();
    await page.keyboard.press("e");
    const dialog = page.getByRole("dialog", { name: "Add to blocked_cards" });
    await dialog.getByLabel(/^Values/).fill("k-0001\nk-new, not one");
    await dialog.getByRole("button", { name: "See what that does" }).click();
    await dialog.getByText("1 will be new, 1 are there").waitFor();
    await dialog.getByText("value 3").waitFor();
    assert.ok(await dialog.getByRole("button", { name: "Add them" }).isDisabled(), "what cannot be taken is corrected first");
    assert.deepEqual(await violations(page), []);
    await dialog.getByLabel(/^Values/).fill("k-0001\nk-new");
    await page.keyboard.press("Tab");
    await page.keyboard.type("stolen");
    await page.keyboard.press("Enter");
    await dialog.getByText("1 will be new, 1 are there").waitFor();
    await page.keyboard.press("Enter");
    await page.getByText("2 are in blocked_cards.").waitFor();
    await page.getByRole("button", { name: "Changes" }).click();
    await page.getByRole("region", { name: "Table of changes of the list" }).getByText("k-new").waitFor();
    assert.equal(world.requests.filter((each) => each.endsWith("entries:add")).length, 1);
  }));

test("a search finds entries by their notes, and those that are chosen are taken out", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/${places.lists.at}`);
    await page.getByLabel("Find entries").fill("k-0007");
    await page.getByLabel("Choose k-0007").check();
    await page.getByRole("button", { name: "Take out 1" }).click();
    await page.getByText("1 taken out.").waitFor();
    await page.getByRole("heading", { name: "No entry fits" }).waitFor();
    assert.ok(world.requests.some((each) => each.endsWith("entries:remove")));
  }));

test("a file with a bad line says which one", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/${places.lists.at}`);
    await page.getByRole("button", { name: "CSV in" }).click();
    await page.getByLabel(/^Columns/).setInputFiles({ name: "cards.csv", mimeType: "text/csv", buffer: Buffer.from("value\nk-1\n\n") });
    await page.getByRole("button", { name: "Take it in" }).click();
    await page.getByText("line 3").waitFor();
    assert.deepEqual(await violations(page), []);
    assert.ok(world.requests.some((each) => each === "POST /v1/lists/blocked_cards/csv"));
  }));

test("who may only read finds no button that changes something", () =>
  inside({ roles: ["auditor"] }, async (page, world) => {
    await page.goto(`${world.url}/${places.lists.at}`);
    await places.lists.sees(page).waitFor();
    for (const name of [/^Add/, "Take out", "CSV in", /Throw/, /Make a list/])
      assert.equal(await page.getByRole("button", { name }).count(), 0, String(name));
    await page.goto(`${world.url}/#/keys`);
    await places.keys.sees(page).waitFor();
    for (const name of [/Replace/, /Revoke/, /Make a key/]) assert.equal(await page.getByRole("button", { name }).count(), 0, String(name));
  }));

test("a key is made, shown once, replaced and revoked", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/keys`);
    await places.keys.sees(page).waitFor();
    await page.keyboard.press("n");
    await page.getByRole("dialog", { name: "Make a key" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Make it" }).click();
    const made = page.getByRole("dialog", { name: "The new key" });
    assert.match(await made.getByLabel(/^Key /).inputValue(), /^ak_00000001_/);
    assert.deepEqual(await violations(page), []);
    await made.getByRole("button", { name: "I have it" }).click();
    assert.ok(!(await page.content()).includes("ak_00000001_"), "it is nowhere any more");
    await page.getByRole("button", { name: "Replace 1f2e3d4c" }).click();
    await page.getByRole("button", { name: "Make the new one" }).click();
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByRole("button", { name: "Revoke 1f2e3d4c" }).click();
    await page.getByText(/It was used .* ago/).waitFor();
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByText("1f2e3d4c is over.").waitFor();
  }));

test("what a table shows comes as CSV in which no field is a formula", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/keys`);
    await places.keys.sees(page).waitFor();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
    const text = readFileSync(await file.path(), "utf8");
    assert.match(text, /^prefix,account,owner,scopes/);
    assert.ok(text.includes("00aa11bb") && text.includes(hostile.replaceAll('"', '""')));
    assert.ok(!/(^|,)"?[=+@]/m.test(text));
  }));

test("thresholds are moved by keyboard, fit what people can review, and are kept as a draft", () =>
  inside({ roles: ["rule_author"] }, async (page, world) => {
    const drafts = [];
    await page.route("**/v1/rulesets**", (route) => {
      const request = route.request();
      const answer = (status, body) => route.fulfill({ status, contentType: "application/json", body: JSON.stringify(body) });
      if (request.method() === "POST") {
        drafts.push(request.postDataJSON());
        return answer(201, { version: 5, account: "", state: "draft" });
      }
      if (request.url().includes("/v1/rulesets/4")) return answer(200, { version: 4, account: "", state: "published", document: { missing: { score: "open" }, rules: [{ id: "a" }] } });
      return answer(200, { rulesets: [{ version: 5, account: "", state: "draft" }, { version: 4, account: "", state: "published" }] });
    });
    await page.goto(`${world.url}/#/settings`);
    const figures = page.getByRole("region", { name: "Table of figures" });
    const queue = figures.getByRole("row", { name: /^Queue a day/ }).getByRole("cell");
    await figures.waitFor();
    assert.equal(await queue.nth(0).textContent(), await queue.nth(1).textContent(), "nothing was moved yet");
    assert.ok(await page.getByRole("button", { name: "Keep as a draft" }).isDisabled());
    await page.getByLabel("Reviews a day").fill("20");
    await page.getByRole("button", { name: "Review as many" }).click();
    assert.ok(Number(await queue.nth(0).textContent()) <= 20);
    await page.getByLabel("decline from").focus();
    await page.keyboard.press("End");
    await figures.getByRole("row", { name: /^Declined a day 0 / }).waitFor();
    await page.keyboard.press("Home");
    for (const name of ["challenge from", "review from"]) assert.equal(await page.getByLabel(name).inputValue(), "0", "a milder one never begins above");
    await page.getByRole("button", { name: "Back to what holds" }).click();
    await page.getByLabel("review from").focus();
    await page.keyboard.press("ArrowRight");
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Keep as a draft" }).click();
    await page.getByText("Rule set 5 is a draft").waitFor();
    assert.deepEqual(drafts[0].document, { rules: [{ id: "a" }], missing: { score: "open" }, thresholds: { challenge: 0.05, review: 0.205, decline: 0.8 } });
  }));

test("who writes no rules sees what thresholds would do, and can keep none", () =>
  inside({ roles: ["lead"] }, async (page, world) => {
    await page.goto(`${world.url}/#/settings`);
    await page.getByText("Rule authors can keep it as a draft.").waitFor();
    assert.equal(await page.getByRole("button", { name: "Keep as a draft" }).count(), 0);
  }));

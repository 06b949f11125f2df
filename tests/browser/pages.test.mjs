// SPDX-License-Identifier: Apache-2.0
// The pages over a made-up world: by keyboard, in both themes and three widths, as axe sees them, under the strict
// policy, with script in every text.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { logIn, violations } from "./chromium.mjs";
import { hostile } from "./mock.mjs";
import { faultlessPlaces, inside, shots } from "./scene.mjs";


const empty = /^(Nothing|No row)/;
const places = {
  queue: { at: "#/queue", sees: (page) => page.getByRole("row").nth(3), empty },
  case: { at: "#/cases/1", sees: (page) => page.getByRole("region", { name: "Table of related payments" }) },
  overview: { at: "#/overview", sees: (page) => page.getByRole("region", { name: "Newest decisions" }), empty },
  users: { at: "#/users", roles: ["admin"], sees: (page) => page.getByRole("region", { name: "Table of users" }) },
  audit: { at: "#/audit", roles: ["auditor"], sees: (page) => page.getByRole("region", { name: "Table of changes" }), empty },
};

test("a wrong password is refused in words, the right one opens the queue", () =>
  inside({ loggedIn: false }, async (page, world) => {
    await logIn(page, world.url, "ann", "wrong");
    await page.getByRole("alert").filter({ hasText: "do not fit together" }).waitFor();
    assert.equal(await page.getByLabel("Password").inputValue(), "");
    assert.deepEqual(await violations(page), []);
    await logIn(page, world.url);
    await page.getByRole("heading", { name: "Review queue" }).waitFor();
  }));

test("log-in has no fault for axe in either theme", async () => {
  for (const theme of ["light", "dark"])
    await inside({ loggedIn: false, theme }, async (page, world) => {
      await page.goto(world.url);
      await page.getByLabel("Name").waitFor();
      assert.deepEqual(await violations(page), []);
      await page.screenshot({ path: `${shots}/login-${theme}.png` });
    });
});

faultlessPlaces(places);

test("axe looks at every page", () => {
  const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
  const paths = [...read("../../services/dashboard/web/src/pages.ts").matchAll(/\bpath: "([^"]+)"/g)].map((each) => each[1]);
  const seen = readdirSync(new URL(".", import.meta.url))
    .filter((name) => name.endsWith(".test.mjs") && /^faultlessPlaces\(places/m.test(read(name)))
    .flatMap((name) => [...read(name).matchAll(/^ {2}\S+: \{ at: "#\/([a-z]+)/gm)].map((each) => each[1]));
  assert.ok(paths.length > 10);
  assert.deepEqual(paths.filter((path) => !seen.includes(path)), [], "without a place among those that are faultless");
});

test("dialogs have no fault for axe", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys that work here" }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog", { name: "Search and commands" }).getByRole("combobox").waitFor();
    assert.deepEqual(await violations(page), []);
  }));

test("an analyst clears 20 cases without a mouse", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    await page.keyboard.press("n");
    let before = "";
    for (let i = 0; i < 20; i++) {
      await page.waitForFunction((last) => location.hash.startsWith("#/cases/") && location.hash !== last, before);
      before = await page.evaluate(() => location.hash);
      await page.getByRole("toolbar", { name: "Decision" }).waitFor();
      await page.keyboard.press(i % 2 ? "1" : "2");
      await page.getByRole("form", { name: /^Decide/ }).waitFor();
      await page.keyboard.press("2");
      await page.keyboard.press("Control+Enter");
    }
    await page.waitForFunction((last) => location.hash !== last, before);
    assert.equal(world.cases.filter((each) => each.state === "decided").length, 20);
    assert.equal(world.cases.filter((each) => each.outcome === "fraud").length, 10);
    assert.ok(world.cases.every((each) => each.state !== "decided" || each.reason));
  }));

test("a decision is undone by a key", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/cases/5`);
    await page.getByRole("toolbar", { name: "Decision" }).waitFor();
    await page.keyboard.press("2");
    await page.getByRole("form", { name: "Decide: Fraud" }).waitFor();
    await page.keyboard.press("1");
    await page.keyboard.press("Control+Enter");
    await page.getByRole("button", { name: /^Undo/ }).first().waitFor();
    await page.waitForFunction(() => !location.hash.endsWith("/5"));
    await page.keyboard.press("u");
    await page.waitForFunction(() => location.hash.endsWith("/5"));
    assert.equal(world.cases.find((each) => each.case === 5).outcome, null);
  }));

test("J, K and Enter walk through the queue and into a case", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
    await page.keyboard.press("Enter");
    await page.waitForFunction((id) => location.hash === `#/cases/${id}`, world.cases[1].case);
    await page.getByRole("toolbar", { name: "Decision" }).waitFor();
    await page.keyboard.press("j");
    await page.waitForFunction((id) => location.hash === `#/cases/${id}`, world.cases[2].case);
  }));

test("many cases are decided at once, after a look at what it touches", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    for (const key of ["j", "x", "j", "x"]) await page.keyboard.press(key);
    await page.getByText("2 chosen").waitFor();
    await page.getByRole("button", { name: "Decide these" }).click();
    await page.getByRole("dialog").getByText(/2 cases/).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Decide 2", exact: true }).click();
    await page.getByText("2 cases are decided.").waitFor();
    assert.equal(world.cases.filter((each) => each.outcome === "legit").length, 2);
  }));

test("script in a text stays text", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByText(hostile).first().waitFor();
    await page.goto(`${world.url}/#/cases/1`);
    await page.getByLabel("Note").fill(hostile);
    await page.getByRole("button", { name: "Add note" }).click();
    await page.locator(".timeline").getByText(hostile).waitFor();
    assert.equal(await page.locator("#root img[src=x]").count(), 0);
  }));

test("an admin adds a user, gives roles and lets somebody in", () =>
  inside({ roles: ["admin"] }, async (page, world) => {
    await page.goto(`${world.url}/#/users`);
    await page.getByRole("region", { name: "Table of users" }).waitFor();
    await page.keyboard.press("n");
    await page.getByLabel("Name to log in with").fill("carl");
    await page.getByLabel("First password").fill("a long one, with spaces");
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("rowheader", { name: "carl" }).waitFor();
    await page.getByRole("button", { name: "Roles of carl" }).click();
    await page.getByRole("checkbox", { name: /Publisher/ }).check();
    await page.getByRole("button", { name: "Change", exact: true }).click();
    await page.getByRole("row", { name: /carl/ }).getByText("Publisher").waitFor();
    await page.getByRole("button", { name: "Let in: bob" }).click();
    await page.getByText("bob may log in again.").waitFor();
    await page.getByText(hostile).waitFor();
  }));

test("the audit trail is read page by page, and verified", () =>
  inside({ roles: ["auditor"] }, async (page, world) => {
    await page.goto(`${world.url}/#/audit`);
    await page.getByText(hostile).waitFor();
    await page.getByRole("button", { name: "Older" }).click();
    await page.getByRole("button", { name: "Older" }).click();
    await page.getByText("user-1", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Verify the chain" }).click();
    await page.getByText("whole: 250 rows").waitFor();
  }));

test("a page that the service has no route for is not offered", () =>
  inside({ roles: ["admin"], without: ["/v1/cases", "/v1/overview", "/v1/drift", "/v1/alerts"] }, async (page, world) => {
    await page.goto(`${world.url}/#/users`);
    await page.getByRole("heading", { name: "Users" }).waitFor();
    const shown = page.getByRole("navigation", { name: "Pages" }).getByRole("link");
    await shown.filter({ hasText: "Alerts" }).waitFor({ state: "detached" });
    const links = await shown.allInnerTexts();
    assert.ok(links.includes("Users") && !links.includes("Review queue") && !links.includes("Overview"), links.join());
  }));

test("who lacks the role is told so, and sees no way there", () =>
  inside({ roles: ["rule_author"] }, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("heading", { name: "Your roles do not open this page" }).waitFor();
    assert.equal(await page.getByRole("navigation").getByRole("link", { name: "Review queue" }).count(), 0);
  }));

test("of 10,000 cases only the rows that are seen are drawn", () =>
  inside({ count: 10000 }, async (page, world) => {
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    await page.keyboard.press("j");
    for (let i = 0; i < 5; i++) {
      await page.locator(".grid").evaluate((grid) => grid.scrollTo(0, grid.scrollHeight));
      await page.waitForFunction((rows) => Number(document.querySelector(".rows").style.height.replace("px", "")) > rows * 3000, i);
    }
    assert.ok((await page.locator(".grid .line").count()) < 80);
  }));

test("the first page is small", () =>
  inside({}, async (page, world) => {
    const { gzipSync } = await import("node:zlib");
    let bytes = 0;
    page.on("response", async (answer) => {
      if (/\.(js|css|html|svg)$|\/$/.test(new URL(answer.url()).pathname)) bytes += gzipSync(await answer.body()).length;
    });
    await page.goto(`${world.url}/#/queue`);
    await page.getByRole("row").nth(3).waitFor();
    // The stream of what happens stays open, so the network is never idle: it is when nothing more has come.
    for (let before = -1; before !== bytes; await page.waitForTimeout(500)) before = bytes;
    assert.ok(bytes > 10000 && bytes < 250000, `${bytes} bytes gzipped`);
  }));

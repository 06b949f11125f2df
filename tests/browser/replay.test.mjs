// SPDX-License-Identifier: Apache-2.0
// The replay of a case: by key and by button, as axe sees it in both themes and three widths, and with script in texts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultless, inside as insideAny } from "./scene.mjs";

const roles = ["analyst"];
const inside = (options, work) => insideAny({ roles, ...options }, work);

const panel = (page) => page.getByRole("region", { name: "Replay", exact: true });

test("R makes the decision again, and a rule opens into its parts with their values", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/cases/4`);
    await panel(page).getByText("Makes this decision again").waitFor();
    await page.keyboard.press("r");
    await panel(page).getByText("It comes out bit for bit as it was decided.").waitFor();
    assert.ok(world.requests.includes("GET /v1/cases/4/replay"));
    await panel(page).getByText("Large for this customer").click();
    const parts = panel(page).getByRole("list", { name: "Parts of large_for_customer" });
    await parts.waitFor();
    assert.equal(await parts.getByRole("listitem").count(), 8, "a literal says itself what it is");
    assert.match(await parts.innerText(), /5 \* customer_avg_amount_30d\s+19557\.5/);
    assert.match(await parts.innerText(), /in_list\(tx\.card_id, "watched"\)\s+passed over/);
  }));

test("what differs is shown with both values", () =>
  inside({}, async (page, world) => {
    await page.goto(`${world.url}/#/cases/3`);
    await panel(page).getByRole("button", { name: "Replay" }).click();
    await panel(page).getByText("It does not come out as it is stored.").waitFor();
    const table = panel(page).getByRole("region", { name: "What differs" });
    assert.match(await table.innerText(), /0\.41000000000000003/);
    await panel(page).getByText("The first 2 of 40 are shown.").waitFor();
  }));

test("a replay has no fault for axe, in both themes, from 360 px to 4K", () =>
  faultless(
    "replay",
    { roles, at: "#/cases/3" },
    async (page) => {
      await panel(page).getByRole("button", { name: "Replay" }).click();
      await panel(page).getByText("Large for this customer").click();
      await panel(page).getByRole("list", { name: "Parts of large_for_customer" }).waitFor();
    },
    panel,
  ));

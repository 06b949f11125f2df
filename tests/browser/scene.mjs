// SPDX-License-Identifier: Apache-2.0
// The pages over a made-up world, for a file of tests: one Chromium for all of them, a world and a page for each.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isThere, launch, open, violations } from "./chromium.mjs";
import { mock } from "./mock.mjs";

/** The folder for screenshots. */
export const shots = fileURLToPath(new URL("../../build/screenshots", import.meta.url));
const pages = fileURLToPath(new URL("../../build/web", import.meta.url));
let browser;

before(async () => {
  assert.ok(isThere, "Chromium is needed: apt-get install chromium");
  mkdirSync(shots, { recursive: true });
  browser = await launch();
});
after(() => browser?.close());

/** A page of a fresh world, which is shown at `at` when that is given; at the end nothing must have been complained of. */
export async function inside({ at, ...options }, work) {
  const world = await mock({ pages, loggedIn: true, ...options });
  const { page, complaints, close } = await open(browser, options);
  page.setDefaultTimeout(15000);
  try {
    if (at !== undefined) await page.goto(`${world.url}/${at}`);
    await work(page, world);
    assert.deepEqual(complaints, []);
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined, "stored script ran");
  } finally {
    await close();
    world.close();
  }
}

/** In both themes, on a phone, a desk and a wall: axe finds no fault in what `work` leaves on the screen, and nothing is
 * wider than that. `shown` has the screenshot; without it, it is the page's. */
export async function faultless(name, options, work, shown) {
  for (const [width, height] of [[360, 740], [1440, 900], [3840, 2160]])
    for (const theme of ["light", "dark"])
      await inside({ ...options, width, height, theme }, async (page, world) => {
        await work(page, world);
        assert.deepEqual(await violations(page), [], `${name} ${width} ${theme}`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(over <= 0, `${name} is ${over} px too wide at ${width}`);
        const part = shown?.(page) ?? page;
        if (part !== page) await part.scrollIntoViewIfNeeded();
        await part.screenshot({ path: `${shots}/${name}-${width}-${theme}.png` });
      });
}

/** A test for each of `places` ({ at, sees, roles, empty }): it is faultless, and so is an empty world, where its heading is
 * `empty`; without that the place has no such state. */
export function faultlessPlaces(places, options = {}) {
  for (const [name, { at, sees, roles = options.roles, empty }] of Object.entries(places))
    test(`${name} has no fault for axe, in both themes, from 360 px to 4K, full and empty`, async () => {
      await faultless(name, { ...options, roles, at }, (page) => sees(page).waitFor());
      if (empty)
        await inside({ ...options, roles, at: at.split("?")[0], empty: true }, async (page) => {
          await page.getByRole("heading", { name: empty }).first().waitFor();
          assert.deepEqual(await violations(page), [], `${name}, empty`);
        });
    });
}

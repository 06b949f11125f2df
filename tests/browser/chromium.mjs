// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium, without what it would ask of the network by itself, and what every test looks at: what the
// console said, what the policy blocked, and whether stored script ever ran.
import axe from "axe-core";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const isThere = existsSync(executablePath);

export const launch = () =>
  chromium.launch({
    executablePath,
    args: [
      "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
      "--disable-default-apps", "--disable-features=OptimizationHints,MediaRouter,Translate", "--metrics-recording-only",
    ],
  });

/** A page of its own context; `complaints` grows with what must never be. */
export async function open(browser, { width = 1440, height = 900, theme = "light" } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: theme, locale: "en-GB", timezoneId: "Europe/Berlin", bypassCSP: false, reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    // What is refused with a status is told by the page; the browser tells it too.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  return { page, complaints, close: () => context.close() };
}

/** What axe finds wrong, a line for each. */
export async function violations(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  return found.violations.map((each) => `${each.id}: ${each.help}: ${each.nodes.map((node) => `${node.target.join(" ")} (${node.failureSummary?.split("\n")[1] ?? ""})`).slice(0, 4).join(", ")}`);
}

export const logIn = async (page, url, name = "ann", password = "correct horse battery staple") => {
  await page.goto(url);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
};

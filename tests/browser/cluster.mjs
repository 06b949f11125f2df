// SPDX-License-Identifier: Apache-2.0
// The pages over a running cluster, for a file of tests: the cluster is its own, and ends with its tests.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, logIn, open } from "./chromium.mjs";

const from = (path) => fileURLToPath(new URL(path, import.meta.url));
const build = process.env.ASSAY_BUILD ?? from("../../build/plain");

/** Whether there is a program to test. */
export const isBuilt = existsSync(join(build, "bin/dashboard"));
export const shots = from("../../build/screenshots");
export const password = "correct horse battery staple";
/** A folder that goes with the cluster. */
export const own = isBuilt ? mkdtempSync(join(tmpdir(), "assay-browser-")) : "";
let browser, state;

/** What `assay` printed; `run` speaks of this cluster. */
export const assay = (args, input = "") =>
  execFileSync(join(build, "bin/assay"), args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"], maxBuffer: 1 << 28, cwd: from("../..") });
export const run = (args, input) => assay([...args, "--home", join(own, "home")], input);
// Without a model its exit code says that scoring is not ready.
const status = (...options) => spawnSync(join(build, "bin/assay"), ["status", ...options, "--home", join(own, "home")], { encoding: "utf8" }).stdout;
export const waitUntilReady = () => status("--wait");

/** Where a service is, and what the database says. */
export const urlOf = (name) => state.services.find((each) => each.name.startsWith(name)).url;
const psql = (...args) => execFileSync("psql", ["-qXAtd", state.pg_url, "-v", "ON_ERROR_STOP=1", ...args], { encoding: "utf8" }).trim();
export const sql = (text) => psql("-c", text);
export const sqlFile = (path, variables) => psql(...Object.entries(variables).flatMap(([name, value]) => ["-v", `${name}=${value}`]), "-f", path);
export const addUser = (name, roles, ...more) => run(["users", "add", name, "--roles", roles, ...more], `${password}\n`);

/** Starts the cluster with these settings; whoever does that ends it with `stop`. */
export function start(settings) {
  Object.assign(process.env, { ASSAY_DASHBOARD_PAGES: from("../../build/web") }, settings);
  run(["up", "--free-ports"]);
  state = JSON.parse(status("--json"));
}
export function stop() {
  try {
    run(["down"]);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/** Starts the cluster with these settings before the first test, and has `prepare` fill it. */
export function cluster(settings, prepare) {
  before(async () => {
    if (!isBuilt) return;
    mkdirSync(shots, { recursive: true });
    start(settings);
    await prepare();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    if (isBuilt) stop();
  });
}

/** A page on which `name` has logged in; at the end nothing must have been complained of. */
export async function visit(name, work, options = {}) {
  const { page, complaints, close } = await open(browser, options);
  page.setDefaultTimeout(30000);
  try {
    await logIn(page, urlOf("dashboard"), name, password);
    await page.getByRole("button", { name: /account and theme/ }).waitFor();
    await work(page);
    assert.deepEqual(complaints, []);
  } catch (error) {
    await page.screenshot({ path: join(shots, `cluster-failed-${name}.png`), fullPage: true });
    throw error;
  } finally {
    await close();
  }
}

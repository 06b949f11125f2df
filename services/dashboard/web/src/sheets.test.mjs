// SPDX-License-Identifier: Apache-2.0
// The sheet of a page stays loaded when one goes on to another page: what it says must not be about that one.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const here = dirname(fileURLToPath(import.meta.url));
const text = (path) => readFileSync(join(here, path), "utf8");

/** What a file imports, also late, itself included, as paths below `src`; the pages are reached from none. */
function reach(path, seen = new Set()) {
  if (seen.has(path)) return seen;
  seen.add(path);
  if (!path.endsWith(".css") && path !== "pages.ts")
    for (const [, name] of text(path).matchAll(/(?:from\s|import[\s(])\s*"(\.[^"]+)"/g)) {
      const to = relative(here, join(here, dirname(path), name));
      const file = ["", ".tsx", ".ts"].map((ending) => to + ending).find((each) => /\.(tsx?|css)$/.test(each) && exists(each));
      if (file) reach(file, seen);
    }
  return seen;
}
const files = readdirSync(here, { recursive: true, encoding: "utf8" });
const exists = (path) => files.includes(path);

/** The words that stand in class names of a file; a word too many only asks for a better name. */
const classesOf = (path) =>
  [...text(path).matchAll(/[cC]lass(?:Name)?\??[=:]\s*("[^"]*"|\{`[^`]*`\}|\{[^}]*\})/g)].flatMap(([, names]) => names.match(/[a-z][\w-]*/gi) ?? []);

const pages = [...text("pages.ts").matchAll(/import\("\.\/(pages\/[^"]+)"\)/g)].map(([, name]) => reach(`${name}.tsx`));
const around = reach("main.tsx");
const sheets = files.filter((each) => /^pages\/.*\.css$/.test(each));

test.each(sheets)("%s speaks of its own pages only", (sheet) => {
  const others = [around, ...pages.filter((each) => !each.has(sheet))].flatMap((each) => [...each].filter((file) => file.endsWith(".tsx")));
  const foreign = new Set(others.flatMap(classesOf));
  const selectors = text(sheet)
    .replace(/\/\*[^]*?\*\//g, "")
    .replace(/@media[^{]*\{/g, "")
    .split("}")
    .flatMap((rule) => (rule.split("{")[0] ?? "").replace(/\([^)]*\)/g, "").split(","))
    .map((each) => each.trim())
    .filter(Boolean);
  const loose = selectors.filter((each) => (each.match(/\.[a-z][\w-]*/gi) ?? []).every((name) => foreign.has(name.slice(1))));
  expect(loose.join("\n")).toBe("");
});

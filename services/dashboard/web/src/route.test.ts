// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { href, parseRoute } from "./route";

it("reads a path and its query", () => {
  const route = parseRoute("#/cases/731?sort=due&merchant=m%2F4");
  expect(route.path).toEqual(["cases", "731"]);
  expect(route.query.get("merchant")).toBe("m/4");
});
it("survives an address that is not well formed", () => expect(parseRoute("#/a%ZZ").path).toEqual(["a%ZZ"]));
it("leaves empty members out", () => expect(href("queue", { sort: "", entity: "a b" })).toBe("#/queue?entity=a+b"));

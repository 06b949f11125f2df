// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { csvField, csvText } from "./csv";

it("quotes what would break a line", () => expect(csvField('a "b", c\nd')).toBe('"a ""b"", c\nd"'));
it("lets no text become a formula, and keeps negative numbers", () => {
  expect(csvField("=HYPERLINK(1)")).toBe("'=HYPERLINK(1)");
  expect(csvField(-5)).toBe("-5");
});
it("writes a head and a line for each row", () =>
  expect(csvText(["a", "b"], [{ a: 1, b: ["x", "y"] }, { a: null, b: [] }])).toBe("a,b\r\n1,x y\r\n,\r\n"));

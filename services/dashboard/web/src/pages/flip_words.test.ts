// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ordinal, valueOf } from "./flip_words";

const number = (text: string) => Number(text.replace(/[^0-9.-]/g, ""));

test("what is shown lies on the far side of the value, so that it flips too", () => {
  for (const value of [118.39999389648438, 0.30000001192092896, 1234567.875, 3.4028235e-7, -2.7182817459106445])
    for (const way of ["up", "down"] as const) {
      const shown = number(valueOf(value, false, way));
      expect(way === "up" ? shown >= value : shown <= value, `${value} ${way}: ${shown}`).toBe(true);
      expect(Math.abs(shown - value)).toBeLessThan(Math.abs(value) * 1e-5);
    }
});

test("whole numbers are shown as they are", () => {
  expect(number(valueOf(1250000, true, "down"))).toBe(1250000);
  expect(valueOf(0, false, "up")).toBe("0");
});

test("percentiles have their endings", () => {
  expect([0.01, 0.02, 0.03, 0.11, 0.12, 0.713, 0.97, 1].map(ordinal)).toEqual(["1st", "2nd", "3rd", "11th", "12th", "71st", "97th", "100th"]);
});

// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { clock, due, micros, minorDigits, money, percent, span, words } from "./format";

describe("format", () => {
  it("takes the minor unit from the currency", () => {
    expect(minorDigits("EUR")).toBe(2);
    expect(minorDigits("JPY")).toBe(0);
    expect(minorDigits("KWD")).toBe(3);
    expect(money(32075, "EUR")).toContain("320");
    expect(money(32075, "JPY").replace(/[^0-9]/g, "")).toBe("32075");
  });
  it("shows an amount of something that is no currency", () => expect(money(100, "??")).toBe("1.00 ??"));
  it("keeps small probabilities apart", () => {
    expect(percent(null)).toBe("–");
    expect(percent(0)).toBe("0.00 %");
    expect(percent(0.00001)).toBe("< 0.01 %");
    expect(percent(0.0042)).toBe("0.42 %");
    expect(percent(0.0731)).toBe("7.3 %");
    expect(percent(0.9731)).toBe("97 %");
  });
  it("names a span in one or two units", () => {
    expect(span(42)).toBe("42 s");
    expect(span(3 * 3600 + 600)).toBe("3 h 10 min");
    expect(span(2 * 86400 + 4 * 3600)).toBe("2 d 4 h");
    expect(clock(65)).toBe("1:05");
    expect(micros(850)).toBe("850 µs");
    expect(micros(1530)).toBe("1.5 ms");
  });
  it("tells late from soon", () => {
    const now = Date.parse("2026-03-02T12:00:00Z");
    expect(due("2026-03-02T11:00:00Z", now)).toEqual({ text: "1 h late", isLate: true, isSoon: false });
    expect(due("2026-03-02T12:10:00Z", now)).toEqual({ text: "10 min left", isLate: false, isSoon: true });
  });
  it("writes codes as words", () => expect(words("stolen_card")).toBe("Stolen card"));
});

// SPDX-License-Identifier: Apache-2.0
// Numbers of a change as people read them, without saying more than is so.

/**
 * Up to six digits. A bound is rounded away from the value before, so that what is shown still does it: "at most 118.399"
 * of 118.3999939.
 */
export function valueOf(value: number, isWhole: boolean, side: "up" | "down" | "nearest"): string {
  if (isWhole || Number.isInteger(value)) return value.toLocaleString();
  const digits = Math.max(0, 5 - Math.floor(Math.log10(Math.abs(value))));
  if (digits > 12) return value.toPrecision(6);
  const scale = 10 ** digits;
  const steps = value * scale;
  const rounded = (side === "up" ? Math.ceil(steps) : side === "down" ? Math.floor(steps) : Math.round(steps)) / scale;
  return rounded.toLocaleString(undefined, { maximumFractionDigits: digits });
}

/** A share as a percentile: 0.71 is the 71st. */
export function ordinal(share: number): string {
  const n = Math.round(share * 100);
  const teens = n % 100 >= 11 && n % 100 <= 13;
  const ending = teens ? "th" : n % 10 === 1 ? "st" : n % 10 === 2 ? "nd" : n % 10 === 3 ? "rd" : "th";
  return `${n}${ending}`;
}

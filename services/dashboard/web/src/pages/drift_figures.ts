// SPDX-License-Identifier: Apache-2.0
// How figures of drift and quality are written.
import { percent } from "../format";

/** Three digits that count; what is not defined is a dash. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 3 : 4);
}

/** How many times the noise floor an effect is. */
export function timesNoise(value: number | null, critical: number | null): number | null {
  return value === null || critical === null || !(critical > 0) ? null : value / critical;
}

export const times = (ratio: number | null): string => (ratio === null ? "–" : `${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio)}×`);

const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });

/** A day that is counted by UTC, in the reader's language. */
export const day = (iso: string): string => days.format(new Date(iso));

/** A share, and what it was. */
export const shareBefore = (now: number | null, before: number | null): string =>
  now === null ? "–" : `${percent(now)} (${percent(before)})`;

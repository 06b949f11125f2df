// SPDX-License-Identifier: Apache-2.0
// Numbers, money and times as people read them: in the reader's language and time zone.

const moneyFormats = new Map<string, Intl.NumberFormat>();

function moneyFormat(currency: string, whole: boolean): Intl.NumberFormat {
  const key = currency + (whole ? "|whole" : "");
  let format = moneyFormats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(undefined, {
      style: "currency",
      currency,
      ...(whole ? { maximumFractionDigits: 0, minimumFractionDigits: 0 } : {}),
    });
    moneyFormats.set(key, format);
  }
  return format;
}

/** How many digits the minor unit of a currency has: 2 for EUR, 0 for JPY, 3 for KWD. */
export function minorDigits(currency: string): number {
  try {
    return moneyFormat(currency, false).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

/** An amount in minor units with its currency; what is no currency is shown behind the number. */
export function money(minor: number, currency: string, whole = false): string {
  const major = minor / 10 ** minorDigits(currency);
  try {
    return moneyFormat(currency, whole).format(major);
  } catch {
    return `${major.toFixed(2)} ${currency}`;
  }
}

const plain = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export const count = (n: number): string => plain.format(n);
export const compact = (n: number): string => (Math.abs(n) < 10000 ? plain.format(n) : short.format(n));

/** A probability as a percentage: fine below 1 %, whole from 10 % on. */
export function percent(p: number | null | undefined): string {
  if (p === null || p === undefined) return "–";
  const of100 = p * 100;
  if (of100 > 0 && of100 < 0.01) return "< 0.01 %";
  return `${of100.toFixed(of100 < 1 ? 2 : of100 < 10 ? 1 : 0)} %`;
}

/** Microseconds with the unit that keeps two or three digits. */
export function micros(us: number | null | undefined): string {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

/** Seconds in one or two units: "42 s", "5 min", "3 h 10 min", "2 d 4 h". */
export function span(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 24) return min % 60 ? `${h} h ${min % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
}

/** "m:ss" for a countdown. */
export function clock(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

const dayTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const timeOnly = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** The whole moment, in the reader's zone. */
export function moment(iso: string | null | undefined): string {
  if (!iso) return "–";
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : dayTime.format(at);
}

export function timeOfDay(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : timeOnly.format(at);
}

/** Seconds from `iso` until `now`; negative for what is to come. */
export const secondsSince = (iso: string, now: number): number => (now - Date.parse(iso)) / 1000;

/** Whether something is due, and in how long or since when. */
export function due(iso: string, now: number): { text: string; isLate: boolean; isSoon: boolean } {
  const left = -secondsSince(iso, now);
  return left < 0
    ? { text: `${span(-left)} late`, isLate: true, isSoon: false }
    : { text: `${span(left)} left`, isLate: false, isSoon: left < 1800 };
}

/** `large_for_customer` as a person writes it. */
export function words(code: string): string {
  const text = code.replace(/[_-]+/g, " ").trim();
  return text ? text[0]!.toUpperCase() + text.slice(1) : code;
}

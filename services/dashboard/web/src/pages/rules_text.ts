// SPDX-License-Identifier: Apache-2.0
// What the editor of rules says of them without asking: completion, places of faults, lints. No page in here.
import type { Action } from "../api";
import type { Answer, Change, Document, Fault, Name, Names, Report, Rule, RuleFigures } from "../api/rules";

/* ---- completion ---- */

export interface Offer {
  text: string; // that takes the place of the word
  type: string;
  about: string;
  kind: "field" | "feature" | "velocity" | "function" | "list";
}

/** The word before the caret, from where it began; within quotes after in_list( the name of a list. */
export function wordAt(text: string, caret: number): { from: number; word: string; isList: boolean } | null {
  const before = text.slice(0, caret);
  const list = /in_list\([^,()"]*,\s*"([a-z0-9_]*)$/.exec(before);
  if (list) return { from: caret - list[1]!.length, word: list[1]!, isList: true };
  if ((before.match(/"/g)?.length ?? 0) % 2 === 1) return null;
  const word = /[A-Za-z_][A-Za-z0-9_.]*$/.exec(before)?.[0] ?? "";
  return { from: caret - word.length, word, isList: false };
}

const called = (each: Name, kind: Offer["kind"]): Offer => ({ text: `${each.name}(`, type: each.type, about: each.text || each.example, kind });
const named = (each: Name, kind: Offer["kind"]): Offer => ({ text: each.name, type: each.type, about: each.text, kind });

/** Everything that may stand where something begins. */
export function offersOf(names: Names | undefined): Offer[] {
  if (!names) return [];
  return [
    ...names.fields.map((each) => named(each, "field")),
    ...names.velocities.map((each) => called(each, "velocity")),
    ...names.functions.map((each) => called(each, "function")),
    ...names.features.map((each) => named(each, "feature")),
  ];
}

/** Those that fit, names that begin so before names that have it within. */
export function fitting(offers: Offer[], word: string, most = 12): Offer[] {
  const wanted = word.toLowerCase();
  const rank = (each: Offer) => {
    const text = each.text.toLowerCase();
    if (text.startsWith(wanted) || text.startsWith(`tx.${wanted}`)) return 0;
    return text.includes(wanted) ? 1 : 2;
  };
  return offers
    .map((each, place) => ({ each, place, rank: rank(each) }))
    .filter((it) => it.rank < 2 && it.each.text !== word)
    .sort((a, b) => a.rank - b.rank || a.place - b.place)
    .slice(0, most)
    .map((it) => it.each);
}

/* ---- faults ---- */

/** Which rule a fault is of, and of which member; null: of the set. */
export function placeOf(fault: Fault): { rule: number; member: string } | null {
  const found = /^#\/rules\/(\d+)(?:\/(\w+))?/.exec(fault.pointer);
  return found ? { rule: Number(found[1]), member: found[2] ?? "" } : null;
}

/** "rule large: 1:12: no overload ..." with the lines below it, taken apart. */
export function saidOf(fault: Fault): { text: string; column: number | null } {
  const first = fault.detail.split("\n", 1)[0]!;
  const found = /^(?:rule [^:]+: )?(\d+):(\d+): (.*)$/.exec(first);
  return found ? { text: found[3]!, column: Number(found[2]) } : { text: first.replace(/^rule [^:]+: /, ""), column: null };
}

/** In words that name the mistake rather than the mechanism. */
export function plainly(text: string): string {
  const types = /^no overload for (\w+) (==|!=|<=|>=|<|>|in) (\w+)$/.exec(text);
  const words: Record<string, string> = { string: "text", double: "number", int: "number", uint: "number", bool: "yes or no", list: "list" };
  if (types && words[types[1]!] !== words[types[3]!])
    return `compares ${words[types[1]!] ?? types[1]} to ${words[types[3]!] ?? types[3]}: ${text}`;
  if (/is no entity/.test(text)) return `this window has no entity: ${text}`;
  if (/needs a window/.test(text)) return `this velocity has no window: ${text}`;
  return text;
}

/* ---- lints ---- */

export interface Lint {
  tone: "warn" | "info";
  text: string;
}

const share = (part: number, all: number): string => (part * 100 < all ? "less than 1 %" : `${Math.round((100 * part) / all)} %`);

/** What the past says against a rule that compiles. */
export function lintsOf(rule: Rule, figures: RuleFigures | undefined, answer: Answer | undefined, days: number): Lint[] {
  const lints: Lint[] = [];
  const say = (tone: Lint["tone"], text: string) => lints.push({ tone, text });
  const all = answer?.report.span.decisions ?? 0;
  if (rule.enabled === false) say("info", "It is switched off, so it is not evaluated.");
  if (!figures || !answer || all === 0) return lints;
  if (figures.errors > 0) say("warn", `It could not be evaluated for ${share(figures.errors, all)} of the payments, as when a text is no number or is divided by zero: there it does not match.`);
  if (figures.hits === 0 && figures.errors < all) say("warn", `Never true in the last ${days} days.`);
  if (figures.hits === all) say("warn", `Always true in the last ${days} days.`);
  if (figures.hits > 0 && figures.alone.hits === 0 && answer.report.rules.length > 1 && !rule.shadow && rule.action !== "tag" && figures.fraud + figures.good + figures.unknown > 0)
    say("info", "Every payment that it hits is hit by another rule too.");
  const absent = answer.absent_features.filter((name) => rule.when.replace(/\s+/g, "").includes(name.replace(/\s+/g, "")));
  if (absent.length) say("warn", `Some decisions were served without ${absent.join(", ")}: it counts as missing there.`);
  return lints;
}

/* ---- figures ---- */

const severity: Action[] = ["approve", "challenge", "review", "decline"];

/** Changes that stop more, those with the most good payments first; then those that stop less. */
export function ordered(changes: Change[]): Change[] {
  const stops = (each: Change) => severity.indexOf(each.to) - severity.indexOf(each.from);
  return changes
    .filter((each) => each.from !== each.to)
    .sort((a, b) => Number(stops(b) > 0) - Number(stops(a) > 0) || b.good - a.good || b.count - a.count);
}

/** How many payments, and how many of good customers, are stopped that were not. */
export function newlyStopped(changes: Change[]): { count: number; good: number } {
  const more = changes.filter((each) => severity.indexOf(each.to) > severity.indexOf(each.from));
  return { count: more.reduce((sum, each) => sum + each.count, 0), good: more.reduce((sum, each) => sum + each.good, 0) };
}

/** How many reviews a day a set makes, and how that fits what people can do. Days without a decision do not count. */
export interface Load {
  average: number;
  most: number;
  mostDay: string;
  daysAbove: number;
  days: number;
}

export function loadOf(report: Report, side: "asked" | "compared", capacity: number): Load {
  const days = report.days.filter((day) => day.decisions > 0).map((day) => ({ day: day.day, reviews: (day[side].review ?? 0) * report.sample }));
  const worst = days.reduce((most, each) => (each.reviews > most.reviews ? each : most), { day: "", reviews: 0 });
  return {
    average: days.length ? days.reduce((sum, each) => sum + each.reviews, 0) / days.length : 0,
    most: worst.reviews,
    mostDay: worst.day,
    daysAbove: days.filter((each) => each.reviews > capacity).length,
    days: days.length,
  };
}

/* ---- documents ---- */

const thresholdNames = ["challenge", "review", "decline"] as const;

/** "review from 0.5, decline from 0.8" */
export function thresholdText(value: unknown): string {
  const own = (value ?? {}) as Record<string, unknown>;
  const said = thresholdNames.filter((name) => typeof own[name] === "number" && (own[name] as number) <= 1).map((name) => `${name} from ${String(own[name])}`);
  return said.length ? said.join(", ") : "nothing by score";
}

/** Lists that are declared, or asked by a condition, each once. */
export function listsOf(document: Document): string[] {
  const asked = document.rules.flatMap((rule) => [...rule.when.matchAll(/in_list\([^,()"]*,\s*"([a-z0-9_]+)"/g)].map((found) => found[1]!));
  return [...new Set([...(document.lists ?? []).map((each) => each.name), ...asked])];
}

/** Without what is only on the page: empty texts, and members that are as they would be anyway. */
export function tidy(document: Document): Document {
  return {
    ...document,
    rules: document.rules.map((rule) => {
      const kept = Object.entries(rule).filter(
        ([name, value]) => value !== "" && !(name === "enabled" && value === true) && !(name === "shadow" && value === false),
      );
      return { when: "", ...Object.fromEntries(kept) } as Rule;
    }),
  };
}

/** "new_rule", "new_rule_2": an id that no other rule has. */
export function freshId(rules: Rule[], wish = "new_rule"): string {
  const taken = new Set(rules.map((rule) => rule.id));
  for (let i = 1; ; i++) {
    const id = i === 1 ? wish : `${wish}_${i}`;
    if (!taken.has(id)) return id;
  }
}

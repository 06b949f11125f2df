// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { Answer, Change, Name, Report, RuleFigures } from "../api/rules";
import { fitting, freshId, lintsOf, listsOf, loadOf, newlyStopped, offersOf, ordered, placeOf, plainly, saidOf, thresholdText, tidy, wordAt } from "./rules_text";

const name = (text: string): Name => ({ name: text, type: "number", example: "", text: "" });
const names = { fields: [name("tx.amount"), name("tx.amount_local"), name("score")], functions: [name("in_list")], velocities: [name("count")], features: [name("card_amount")] };

test("the word before the caret is completed, and within in_list the name of a list", () => {
  expect(wordAt("tx.am", 5)).toEqual({ from: 0, word: "tx.am", isList: false });
  expect(wordAt("a > 1 && sc", 11)).toEqual({ from: 9, word: "sc", isList: false });
  expect(wordAt('in_list(tx.card_id, "tru', 24)).toEqual({ from: 21, word: "tru", isList: true });
  expect(wordAt('tx.country == "D', 16)).toBeNull();
});

test("names that begin with the word come before those that have it within", () => {
  expect(fitting(offersOf(names), "amount").map((each) => each.text)).toEqual(["tx.amount", "tx.amount_local", "card_amount"]);
  expect(fitting(offersOf(names), "cou").map((each) => each.text)).toEqual(["count("]);
});

test("a fault is placed and said in words", () => {
  const fault = { pointer: "#/rules/3/when", detail: "rule a: 1:12: no overload for string == int\n | tx.country == 5\n |            ^" };
  expect(placeOf(fault)).toEqual({ rule: 3, member: "when" });
  expect(placeOf({ pointer: "#/lists/0", detail: "" })).toBeNull();
  expect(saidOf(fault)).toEqual({ text: "no overload for string == int", column: 12 });
  expect(plainly("no overload for string == int")).toMatch(/^compares text to number/);
  expect(plainly("10m is no entity: card, customer")).toMatch(/^this window has no entity/);
});

const figures = (more: Partial<RuleFigures>): RuleFigures => ({
  id: "a", name: "", is_shadow: false, hits: 0, hits_per_day: 0, decides: 0, errors: 0, share: 0, fraud: 0, good: 0, unknown: 0, precision: null,
  precision_low: null, precision_high: null, recall: null, money_caught: 0, good_money: 0,
  alone: { hits: 0, fraud: 0, good: 0, unknown: 0, money_caught: 0, good_money: 0 }, by_day: [], matches: { fraud: [], good: [], unknown: [] }, ...more,
});
const answer = { absent_features: [], report: { span: { decisions: 100 }, rules: [{}, {}] } } as unknown as Answer;
const rule = { id: "a", when: "true", action: "review" as const };

test("the past speaks against a rule that is never or always true, errs or adds nothing", () => {
  expect(lintsOf(rule, figures({}), answer, 30)[0]!.text).toBe("Never true in the last 30 days.");
  expect(lintsOf(rule, figures({ hits: 100, alone: { ...figures({}).alone, hits: 5 } }), answer, 30)[0]!.text).toMatch(/^Always true/);
  expect(lintsOf(rule, figures({ errors: 100 }), answer, 30).map((each) => each.text)).toEqual([expect.stringMatching(/could not be evaluated for 100 %/)]);
  expect(lintsOf(rule, figures({ hits: 4, good: 4 }), answer, 30)[0]!.text).toMatch(/^Every payment/);
});

test("a rule that errs seldom is told too", () => {
  expect(lintsOf(rule, figures({ errors: 2, hits: 4, good: 4, alone: { ...figures({}).alone, hits: 1 } }), answer, 30)[0]!.text).toMatch(/evaluated for 2 % of/);
});

test("the load is that of the whole sample, by days on which anything was decided", () => {
  const day = (name: string, review: number, decisions = 5) => ({ day: name, decisions, asked: { review }, compared: {}, is_mature: true, fraud: 0 });
  const report = { sample: 3, days: [day("a", 1), day("b", 4), day("c", 0, 0), day("d", 2)] } as unknown as Report;
  expect(loadOf(report, "asked", 5)).toEqual({ average: 7, most: 12, mostDay: "b", daysAbove: 2, days: 3 });
  expect(loadOf(report, "compared", 5)).toEqual({ average: 0, most: 0, mostDay: "", daysAbove: 0, days: 3 });
});

test("thresholds are told in words, and lists each once", () => {
  expect(thresholdText({ decline: 0.8, review: 0.5, challenge: 2 })).toBe("review from 0.5, decline from 0.8");
  expect(thresholdText({})).toBe("nothing by score");
  const asks = (when: string) => ({ id: when, when, action: "review" as const });
  expect(listsOf({ lists: [{ name: "blocked" }], rules: [asks('in_list(tx.ip, "nets") && !in_list(tx.card_id,"blocked")'), asks('in_list(tx.ip, "nets")')] })).toEqual(["blocked", "nets"]);
});

test("what stops more good customers comes first", () => {
  const change = (from: string, to: string, good: number) => ({ from, to, good, count: good + 1 }) as unknown as Change;
  const changes = [change("decline", "approve", 90), change("approve", "review", 2), change("approve", "decline", 7), change("approve", "approve", 50)];
  expect(ordered(changes).map((each) => each.good)).toEqual([7, 2, 90]);
  expect(newlyStopped(changes)).toEqual({ count: 11, good: 9 });
});

test("documents are sent without what says nothing", () => {
  expect(tidy({ rules: [{ id: "a", when: "true", action: "review", reason: "", enabled: true, shadow: false, priority: 0 }] })).toEqual({
    rules: [{ id: "a", when: "true", action: "review", priority: 0 }],
  });
  expect(freshId([{ id: "new_rule", when: "", action: "review" }])).toBe("new_rule_2");
});

// SPDX-License-Identifier: Apache-2.0
// What the rules service answers about rule sets and backtests (docs/api/rules.yaml), as types and functions.
import { type Action, call, query } from "../api";

export type SetState = "draft" | "shadow" | "published" | "retired";
export type RuleAction = Action | "tag";
export type Missing = "open" | "rules" | "challenge" | "review" | "closed";

export interface Rule {
  id: string;
  name?: string;
  when: string;
  action: RuleAction;
  tag?: string;
  priority?: number;
  reason?: string;
  public_reason?: string;
  owner?: string;
  enabled?: boolean;
  shadow?: boolean;
}

export type ThresholdName = "challenge" | "review" | "decline";
/** One that is left out is never reached. */
export type OwnThresholds = Partial<Record<ThresholdName, number>>;

export interface Document {
  missing?: { score?: Missing; features?: Missing };
  thresholds?: OwnThresholds;
  lists?: { name: string; field?: string; purpose?: string; type?: string; note?: string }[];
  rules: Rule[];
}

export interface RuleSet {
  version: number;
  account: string;
  state: SetState;
  revision: number;
  authors: string;
  approver: string;
  note: string;
  rules: number;
  created_at: string;
  updated_at: string;
  prepared_at: string | null;
  shadowed_at: string | null;
  published_at: string | null;
  retired_at: string | null;
  previous: number | null;
  document?: Document;
}

export interface Fault {
  pointer: string;
  detail: string;
}

export interface SetDifference {
  added: Rule[];
  removed: Rule[];
  changed: { id: string; from: Record<string, unknown>; to: Record<string, unknown> }[];
  others: { name: string; from: unknown; to: unknown }[];
}

export interface Step {
  at: string;
  actor: string;
  action: string;
  detail: Record<string, unknown>;
}

export interface Name {
  name: string;
  type: string;
  example: string;
  text: string;
}

export interface Names {
  fields: Name[];
  functions: Name[];
  velocities: Name[];
  features: Name[];
}

export type Outcome = "fraud" | "good" | "unknown";

/** One payment of the past. */
export interface Example {
  transaction_id: string;
  account: number;
  known_at: string;
  amount: number;
  label: "fraud" | "good" | null;
  outcome: Outcome;
  from: Action;
  to: Action;
  rule: string;
  degraded: string;
  ruleset_version: string;
}

export interface Rates {
  precision: number | null;
  precision_low: number | null;
  precision_high: number | null;
  recall: number | null;
}

export interface RuleFigures extends Rates {
  id: string;
  name: string;
  action?: Action;
  tag?: string;
  is_shadow: boolean;
  hits: number;
  hits_per_day: number | null;
  decides: number;
  errors: number;
  share: number | null;
  fraud: number;
  good: number;
  unknown: number;
  money_caught: number;
  good_money: number;
  alone: { hits: number; fraud: number; good: number; unknown: number; money_caught: number; good_money: number };
  by_day: number[];
  matches: Record<Outcome, Example[]>;
}

export interface Cell {
  count: number;
  fraud: number;
  good: number;
  unknown: number;
  money: number;
  fraud_money: number;
  good_money: number;
}

export interface Side extends Rates {
  name: string;
  actions: Record<Action, Cell>;
  reviews_per_day: number | null;
}

export interface Change {
  from: Action;
  to: Action;
  count: number;
  money: number;
  fraud: number;
  good: number;
  unknown: number;
  examples: Example[];
}

export interface ReportDay {
  day: string;
  decisions: number;
  is_mature: boolean;
  asked: Record<Action, number>;
  compared: Record<Action, number>;
  fraud: number;
}

/** shared/backtest/report.h. Counts and money are of one decision in `sample`. */
export interface Report {
  span: { from: string; to: string; days: number; mature_days: number; decisions: number };
  sample: number;
  labels: { as_of: string; delay_days: number };
  asked: Side;
  compared: Side;
  rules: RuleFigures[];
  overlap: { rules: string[]; hits: number[][] };
  changes: Change[];
  days: ReportDay[];
  unversioned: number;
}

export interface Answer {
  run_seconds: number;
  absent_features: string[];
  report: Report;
}

export interface Trial {
  state: "ready" | "opening";
  done?: number;
  total?: number;
  opened_at?: string;
  answer?: Answer;
}

export interface Backtest {
  backtest: number;
  state: "waiting" | "running" | "done" | "failed" | "cancelled";
  asked_by: string;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  question: { against?: string; from?: string; to?: string; model?: number };
  version: number | null;
  revision: number | null;
  stage: string;
  done: number;
  total: number;
  report_sha256: string | null;
  trouble: string;
  answer?: Answer;
}

/** What a full backtest looks at: times of RFC 3339, and whose scores; what is left out is as it was. */
export interface BacktestWish {
  from?: string;
  to?: string;
  model?: number;
}

export interface Served {
  processes: number;
  serving: number;
  lagging: string;
}

const set = (version: number, verb = "") => `/v1/rulesets/${version}${verb}`;

export const rulesApi = {
  sets: (before: number | null, signal?: AbortSignal) =>
    call<{ rulesets: RuleSet[] }>("GET", `/v1/rulesets${query({ before, limit: 100 })}`, undefined, signal),
  set: (version: number, signal?: AbortSignal) => call<RuleSet>("GET", set(version), undefined, signal),
  names: (signal?: AbortSignal) => call<Names>("GET", "/v1/rulesets:names", undefined, signal),
  lists: (signal?: AbortSignal) =>
    call<{ lists: { list: string; type: string; purpose: string; note: string }[] }>("GET", "/v1/lists", undefined, signal),
  check: (document: Document, signal?: AbortSignal) =>
    call<{ faults: Fault[] }>("POST", "/v1/rulesets:check", { document }, signal),
  draft: (document: Document, note: string, allow_unknown: boolean) =>
    call<RuleSet>("POST", "/v1/rulesets", { document, note, allow_unknown }),
  edit: (version: number, revision: number, document: Document, note: string, allow_unknown: boolean) =>
    call<RuleSet>("PUT", set(version), { document, revision, note, allow_unknown }),
  discard: (version: number, revision: number) => call<void>("DELETE", `${set(version)}${query({ revision })}`),
  difference: (version: number, other: number, signal?: AbortSignal) =>
    call<SetDifference>("GET", `${set(version, ":diff")}${query({ with: other })}`, undefined, signal),
  history: (version: number, signal?: AbortSignal) =>
    call<{ history: Step[] }>("GET", set(version, ":history"), undefined, signal),
  serving: (version: number, signal?: AbortSignal) => call<Served>("GET", set(version, ":serving"), undefined, signal),
  prepare: (version: number, revision: number) => call<RuleSet>("POST", set(version, ":prepare"), { revision }),
  shadow: (version: number, revision: number) => call<RuleSet>("POST", set(version, ":shadow"), { revision }),
  publish: (version: number, revision: number, expected: number, reason: string) =>
    call<RuleSet>("POST", set(version, ":publish"), { revision, expected, ...(reason ? { reason } : {}) }),
  retire: (version: number) => call<RuleSet>("POST", set(version, ":retire"), {}),
  rollBack: (expected: number, reason: string) =>
    call<RuleSet>("POST", "/v1/rulesets:rollback", { expected, ...(reason ? { reason } : {}) }),

  backtests: (version: number, signal?: AbortSignal) =>
    call<{ backtests: Backtest[] }>("GET", `/v1/backtests${query({ version, limit: 20 })}`, undefined, signal),
  backtest: (id: number, signal?: AbortSignal) => call<Backtest>("GET", `/v1/backtests/${id}`, undefined, signal),
  ask: (version: number, wish: BacktestWish) => call<Backtest>("POST", "/v1/backtests", { version, ...wish }),
  cancel: (id: number) => call<Backtest>("POST", `/v1/backtests/${id}:cancel`),
  try: (document: Document, days: number, rule: string, signal?: AbortSignal) =>
    call<Trial>("POST", "/v1/backtests:try", { document, days, ...(rule ? { rule } : {}) }, signal),
  tryAsItWas: (days: number, signal?: AbortSignal) =>
    call<Trial>("POST", "/v1/backtests:try", { as_it_was: true, days }, signal),
};

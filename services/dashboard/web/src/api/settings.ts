// SPDX-License-Identifier: Apache-2.0
// The service's settings, and what thresholds would have done with the last month (docs/api/dashboard.yaml).
import { call, query } from "../api";

export interface Settings {
  base_currency: string;
  review_cost_base_minor: number;
  case_actions: string;
  case_score: string;
  sla_s: number;
  lock_s: number;
  undo_s: number;
  idle_s: number;
  session_s: number;
}

/** Fraud, good, not known yet. */
export type Kinds = [number, number, number];

export interface Bucket {
  from: number;
  counts: Kinds;
  amounts_base_minor: Kinds;
}

export interface Thresholds {
  challenge: number;
  review: number;
  decline: number;
}

export interface LastMonth {
  days: number;
  mature_days: number;
  review_cost_base_minor: number;
  present: (Thresholds & { is_of_rules: boolean; model_version: string; ruleset_version: string }) | null;
  buckets: Bucket[];
}

interface RuleSet {
  version: number;
  account: string;
  state: string;
  document?: Record<string, unknown>;
}

/** Keeps the rule set in force with these thresholds as a draft; somebody else publishes it. */
async function draft(thresholds: Thresholds, note: string): Promise<RuleSet> {
  const { rulesets } = await call<{ rulesets: RuleSet[] }>("GET", "/v1/rulesets?limit=1000");
  const inForce = rulesets.find((set) => set.state === "published" && set.account === "");
  const whole = inForce ? await call<RuleSet>("GET", `/v1/rulesets/${inForce.version}`) : null;
  return call<RuleSet>("POST", "/v1/rulesets", { document: { rules: [], ...whole?.document, thresholds }, note });
}

export const settingsApi = {
  get: (signal?: AbortSignal) => call<Settings>("GET", "/v1/settings", undefined, signal),
  lastMonth: (account: string, signal?: AbortSignal) => call<LastMonth>("GET", `/v1/thresholds${query({ account })}`, undefined, signal),
  draft,
};

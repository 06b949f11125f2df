// SPDX-License-Identifier: Apache-2.0
// A decision made again (docs/api/dashboard.yaml, /v1/cases/{case}/replay).
import { call } from "../api";

export type ReplayOutcome = "matches" | "differs" | "as_stored" | "lost";

export interface Replay {
  outcome: ReplayOutcome;
  transaction_id: string;
  model_version: string;
  ruleset_version: string;
  arm: string;
  degraded: string[];
  decided_at: string;
  lists_lag_us: number;
  steps: { step: "payment" | "score" | "rules" | "record"; outcome: ReplayOutcome; note: string }[];
  differences: { step: string; field: string; stored: string; computed: string }[];
  difference_count: number;
}

export interface ExplainStep {
  text: string;
  at: number;
  depth: number;
  times: number;
  value: string | null;
  kind: string | null;
  literal: boolean;
}

export interface ExplainedRule {
  id: string;
  name: string;
  action: string;
  tag: string;
  priority: number;
  shadow: boolean;
  expression: string;
  fires: boolean;
  value: string;
  steps: ExplainStep[];
}

export interface Explanation {
  ruleset_version: string;
  evaluated: number;
  is_cut: boolean;
  rules: ExplainedRule[];
}

export interface ReplayAnswer {
  replay: Replay;
  explanation: Explanation | null;
  shadow: Explanation | null;
}

export const replayCase = (id: number, signal?: AbortSignal) => call<ReplayAnswer>("GET", `/v1/cases/${id}/replay`, undefined, signal);

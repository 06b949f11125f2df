// SPDX-License-Identifier: Apache-2.0
// Models, experiments and retraining: docs/api/retrainer.yaml as types and functions.
import { call, query } from "../api";

export type ModelState = "registered" | "validated" | "shadow" | "ab" | "champion" | "retired" | "rejected";

export interface Model {
  version: number;
  name: string;
  state: ModelState;
  aliases: string[];
  created_at: string;
  registered_by: string | null;
  sha256: string;
  signer: string | null;
  bytes: number;
  figures: Record<string, number>;
  change: { action: string; at: string; by: string; reason: string | null } | null;
  run: { run: number; cause: string; requested_by: string } | null;
}

export type VerdictOutcome = "pass" | "fail" | "inconclusive";

export interface Verdict {
  verdict: number;
  version: number;
  experiment: number | null;
  stage: "validation" | "shadow" | "ab" | "guardrail";
  gate: string;
  outcome: VerdictOutcome;
  reason?: string;
  evidence?: Record<string, unknown>;
  at: string;
}

/** A look at an experiment with arms: what was seen of the planned payments, and what it was held against. */
export interface Look {
  rows: number;
  z_pass: number | null;
  z_fail?: number | null;
  bound: number | null;
}

export interface Experiment {
  experiment: number;
  name: string;
  stage: "shadow" | "ab";
  state: "running" | "passed" | "failed" | "inconclusive" | "stopped";
  champion: number;
  candidate: number;
  share: number;
  design?: Record<string, number>;
  progress?: { look_at_us?: number; rows?: number; looks?: { planned_rows: number; is_ended: boolean; looks: Look[] } };
  started_at: string;
  ended_at: string | null;
  ended_by?: string;
}

export interface Run {
  run: number;
  name: string;
  cause: "schedule" | "request" | "drift";
  reason?: string;
  requested_by?: string;
  requested_at?: string;
  as_of: string | null;
  settings?: Record<string, unknown>;
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  is_cancelled: boolean;
  attempts: number;
  stage: string;
  progress: number;
  started_at: string | null;
  ended_at: string | null;
  version: number | null;
  message: string;
}

export interface Schedule {
  name: string;
  cron: string;
  zone: string;
  settings: Record<string, unknown>;
  is_enabled: boolean;
  fired_at: string | null;
  next_at: string | null;
}

/** [recall, precision], [mean probability, share of frauds, weight], [threshold, saved, caught, turned away]. */
export type Points = (number | null)[][];

export interface Curves {
  precision_recall?: Points;
  reliability?: Points;
  money?: Points;
}

export interface Version {
  model: Model;
  training: { from: string; until: string; labels_known: string; label_delay_days: number; rows: number; frauds: number };
  thresholds: { challenge: number | null; review: number | null; decline: number | null };
  forest: { trees: number; depth: number; nodes: number; golden_rows: number };
  plan: string;
  features: { name: string; describe: string }[];
  metrics: { curves?: Curves; [figure: string]: unknown };
  parameters: Record<string, unknown>;
  card: string;
  run: Run | null;
  experiments: Experiment[];
  verdicts: Verdict[];
  history: { at: string; actor: string; action: string; detail: Record<string, unknown> }[];
}

export interface AtThreshold {
  threshold: number;
  recall: number | null;
  precision: number | null;
  flagged: number | null;
  saved_minor: number;
  caught_minor: number;
  turned_away_minor: number;
}

export interface Side extends Required<Curves> {
  version: number;
  average_precision: number | null;
  auc_roc: number | null;
  calibration_error: number | null;
  thresholds: { challenge: AtThreshold | null; review: AtThreshold | null; decline: AtThreshold | null };
}

export interface Comparison {
  name: string;
  from: string;
  until: string;
  decisions: number;
  is_cut: boolean;
  declined: number;
  unscored: number;
  rows: number;
  frauds: number;
  decline_cost: number;
  champion: Side;
  challenger: Side;
}

export interface Estimate {
  value: number | null;
  low: number | null;
  high: number | null;
}

export interface SliceLine {
  of: "policy" | "threshold";
  threshold?: number;
  precision: Estimate;
  recall: Estimate;
  flagged: Estimate;
  money_caught: Estimate;
  money_lost: Estimate;
  money_turned_away: Estimate;
  effective: number;
  not_covered: number;
}

export interface ControlSlice {
  slices: {
    account: string;
    share: number;
    amount_most_minor: number;
    card_per_day: number;
    merchant_per_day: number;
    count_per_day: number;
    amount_per_day_minor: number;
    newest_day_count: number;
  }[];
  is_cut: boolean;
  report: {
    from: string | null;
    to: string;
    decisions: number;
    let_through: number;
    decided_otherwise: number;
    untold: number;
    decline_threshold: number | null;
    frauds: Estimate;
    average_precision?: Estimate;
    lines: SliceLine[];
  } | null;
}

const part = encodeURIComponent;

export const modelsApi = {
  list: (before: number | null, limit: number, signal?: AbortSignal) =>
    call<{ models: Model[] }>("GET", `/v1/models${query({ before, limit })}`, undefined, signal),
  version: (name: string, version: number, signal?: AbortSignal) =>
    call<Version>("GET", `/v1/models/${part(name)}/versions/${version}`, undefined, signal),
  compare: (name: string, wish: { champion?: number; challenger?: number; days: number; mature_days: number | null }, signal?: AbortSignal) =>
    call<Comparison>("GET", `/v1/models/${part(name)}:compare${query(wish)}`, undefined, signal),
  promote: (name: string, version: number, expected: number, reason: string) =>
    call<{ champion: number }>("POST", `/v1/models/${part(name)}:promote`, { version, expected, reason }),
  rollBack: (name: string, expected: number, reason: string) =>
    call<{ champion: number }>("POST", `/v1/models/${part(name)}:rollback`, { expected, reason }),
  controlSlice: (days: number, mature_days: number | null, signal?: AbortSignal) =>
    call<ControlSlice>("GET", `/v1/control-slice${query({ days, mature_days })}`, undefined, signal),

  experiments: (signal?: AbortSignal) => call<{ experiments: Experiment[] }>("GET", "/v1/experiments?limit=200", undefined, signal),
  experiment: (id: number, signal?: AbortSignal) =>
    call<{ experiment: Experiment; verdicts: Verdict[] }>("GET", `/v1/experiments/${id}`, undefined, signal),
  stopExperiment: (id: number) => call<unknown>("POST", `/v1/experiments/${id}:stop`, {}),

  runs: (before: number | null, limit: number, signal?: AbortSignal) =>
    call<{ runs: Run[] }>("GET", `/v1/retraining-runs${query({ before, limit })}`, undefined, signal),
  requestRun: (name: string, reason: string, settings: Record<string, unknown>) =>
    call<Run>("POST", "/v1/retraining-runs", { name, reason, settings }),
  cancelRun: (run: number) => call<Run>("POST", `/v1/retraining-runs/${run}:cancel`, {}),

  schedules: (signal?: AbortSignal) => call<{ schedules: Schedule[] }>("GET", "/v1/retraining-schedules", undefined, signal),
  putSchedule: (name: string, wish: { cron: string; zone: string; is_enabled: boolean; settings: Record<string, unknown> }) =>
    call<unknown>("PUT", `/v1/retraining-schedules/${part(name)}`, wish),
  removeSchedule: (name: string) => call<void>("DELETE", `/v1/retraining-schedules/${part(name)}`),
};

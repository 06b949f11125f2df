// SPDX-License-Identifier: Apache-2.0
// What the monitor answers (docs/api/monitor.yaml), as types and functions.
import { call, query } from "../api";

export type SubjectKind = "feature" | "score" | "action" | "field" | "segment_score" | "segment_action";
export type Severity = "info" | "warning" | "critical";

export interface Verdict {
  kind: SubjectKind;
  field?: string;
  name: string;
  window: number;
  at: string;
  rows: number;
  reference_rows: number;
  psi: number | null;
  psi_critical: number | null;
  js: number | null;
  js_critical: number | null;
  missing: number | null;
  missing_reference: number | null;
  missing_critical: number | null;
  unseen: number | null;
  unseen_reference: number | null;
  unseen_critical: number | null;
  is_beyond: boolean;
  is_alarm: boolean;
  text: string;
}

export interface WatchedModel {
  version: number;
  name: string;
  has_histograms: boolean;
  open_window: number;
  first_at: string;
  last_at: string;
  subjects: Verdict[];
}

export interface Judging {
  alpha: number;
  js: number;
  missing: number;
  unseen: number;
  windows: number;
}

export interface Lane {
  lane: number;
  name: string;
  has_models: boolean;
}

export interface Drift {
  lane: number;
  judging: Judging;
  lanes: Lane[];
  models: WatchedModel[];
}

export interface Histogram {
  window: number;
  at: string;
  reference_rows: number;
  rows: number;
  bins: { text: string; reference: number; now: number }[];
}

export interface DriftHistory {
  lane: number;
  version: number;
  windows: Verdict[];
  histogram: Histogram | null;
}

export interface Figures {
  rows: number | null;
  frauds: number | null;
  fraud_rate: number | null;
  average_precision: number | null;
  precision: number | null;
  recall: number | null;
  false_positive_rate: number | null;
  money_caught: number | null;
  money_lost: number | null;
  money_turned_away: number | null;
  average_precision_low: number | null;
  average_precision_high: number | null;
  excluded: number;
}

export interface CardPrecision {
  k: number;
  customers: number;
  found: number;
  precision: number | null;
}

export interface QualityDay {
  day: string;
  is_matured: boolean;
  decisions: number;
  unscored: number;
  known_frauds: number;
  known_share: number | null;
  fraud_rate: { known: number | null; corrected: number | null; low: number | null; high: number | null };
  realised: Figures | null;
  estimated: Figures;
  card_precision?: CardPrecision | null;
}

export interface Quality {
  lane: number;
  name: string;
  version: number;
  label_delay_days: number;
  promised_average_precision: number | null;
  today: string;
  maturity: { frauds: number; matured_after_days: number | null; known_after_days: (number | null)[] };
  matured_days: number;
  realised: Figures;
  recent: Figures;
  coming: Figures;
  estimate_error: Record<string, { days: number; bias: number | null; error: number | null }>;
  calibration: {
    expected: number | null;
    happened: number | null;
    ratio: number | null;
    ece: number | null;
    z: number | null;
    p: number | null;
    chi2: number | null;
    p_shape: number | null;
    groups: { rows: number; expected: number; happened: number }[];
  };
  days: QualityDay[];
}

export interface Health {
  from: string;
  transactions: number;
  decisions: number;
  unscored: number;
  degraded: number;
  duplicates: number;
  labels: number;
  frauds: number;
  ahead: number;
  late: { up_to_seconds: number | null; count: number }[];
}

export interface DataHealth {
  lane: number;
  sum: Health;
  hours: Health[];
  checks: { at: string; recomputed: number; mismatched: number; seconds: number }[];
}

export interface ModelRequest {
  request: number;
  name: string;
  lane: number;
  version: number;
  run: number;
  reason: string;
  at: string;
  requested_at: string;
}

export interface Alert {
  id: number;
  fingerprint: string;
  name: string;
  state: "pending" | "firing" | "resolved";
  severity: Severity;
  labels: Record<string, string>;
  text: string;
  runbook: string;
  value: number | null;
  threshold: number | null;
  is_silenced: boolean;
  is_inhibited: boolean;
  since: string;
  fired_at: string | null;
  resolved_at: string | null;
  told_at: string | null;
}

export interface Delivery {
  id: number;
  webhook: string;
  event: string;
  type: string;
  state: "pending" | "delivered" | "failed";
  attempts: number;
  last_status: number;
  last_trouble: string;
  created_at: string;
  next_at: string | null;
  ended_at: string | null;
}

export interface Matcher {
  name: string;
  value: string;
  is_equal?: boolean;
}

export interface Silence {
  id: number;
  state: "pending" | "active" | "expired";
  matchers: Matcher[];
  starts_at: string;
  ends_at: string;
  author: string;
  comment: string;
}

export interface Webhook {
  name: string;
  url: string;
  is_enabled: boolean;
  disabled_because: string;
  waiting: number;
  old_secret_until: string | null;
  created_at: string;
}

export interface WebhookSecret {
  webhook: Webhook;
  secret: string;
}

const part = encodeURIComponent;
const hook = (name: string, verb: string) => `/v1/webhooks/${part(name)}:${verb}`;

export const watch = {
  drift: (lane: number, hours: number | null, signal?: AbortSignal) =>
    call<Drift>("GET", `/v1/drift${query({ lane, hours })}`, undefined, signal),
  subject: (the: Verdict, lane: number, version: number, limit: number, signal?: AbortSignal) =>
    call<DriftHistory>(
      "GET",
      `/v1/drift/${part(the.name)}${query({ lane, version, kind: the.kind, field: the.field, limit })}`,
      undefined,
      signal,
    ),
  quality: (lane: number, version: number | null, days: number, signal?: AbortSignal) =>
    call<Quality>("GET", `/v1/quality${query({ lane, version, days })}`, undefined, signal),
  dataHealth: (lane: number, hours: number, signal?: AbortSignal) =>
    call<DataHealth>("GET", `/v1/data-health${query({ lane, hours })}`, undefined, signal),
  modelRequests: (signal?: AbortSignal) =>
    call<{ requests: ModelRequest[] }>("GET", "/v1/model-requests?limit=200", undefined, signal),

  alerts: (filter: { state?: string; severity?: string }, before: number | null, limit: number, signal?: AbortSignal) =>
    call<{ alerts: Alert[] }>("GET", `/v1/alerts${query({ ...filter, before, limit })}`, undefined, signal),
  alert: (id: number, signal?: AbortSignal) =>
    call<{ alert: Alert; deliveries: Delivery[] }>("GET", `/v1/alerts/${id}`, undefined, signal),
  silences: (withOver: boolean, signal?: AbortSignal) =>
    call<{ silences: Silence[] }>("GET", `/v1/silences${query({ state: withOver ? "all" : null, limit: 500 })}`, undefined, signal),
  silence: (matchers: Matcher[], endsAt: string, comment: string) =>
    call<Silence>("POST", "/v1/silences", { matchers, ends_at: endsAt, comment }),
  expire: (id: number) => call<void>("POST", `/v1/silences/${id}:expire`),

  webhooks: (signal?: AbortSignal) => call<{ webhooks: Webhook[] }>("GET", "/v1/webhooks", undefined, signal),
  addWebhook: (name: string, url: string) => call<WebhookSecret>("POST", "/v1/webhooks", { name, url }),
  rotateWebhook: (name: string) => call<WebhookSecret>("POST", hook(name, "rotate")),
  setWebhook: (name: string, isEnabled: boolean) => call<Webhook>("POST", hook(name, isEnabled ? "enable" : "disable")),
  testWebhook: (name: string) => call<Delivery>("POST", hook(name, "test")),
  deleteWebhook: (name: string) => call<void>("DELETE", `/v1/webhooks/${part(name)}`),
  delivery: (id: number, signal?: AbortSignal) => call<Delivery>("GET", `/v1/deliveries/${id}`, undefined, signal),
};

// SPDX-License-Identifier: Apache-2.0
// The one place that talks to the service: docs/api/dashboard.yaml as types and functions. Every answer is data and
// is shown as text. A refused request throws Refused, with the sentence that the service gave.

export type Role = "analyst" | "lead" | "rule_author" | "publisher" | "model_owner" | "admin" | "auditor";
export type Action = "approve" | "challenge" | "review" | "decline";
export type Outcome = "fraud" | "legit" | "unclear";

export interface Session {
  user: { name: string; full_name: string; roles: Role[] };
  csrf: string;
  expires_at: string;
  idle_s: number;
  undo_s: number;
  lock_s: number;
  base_currency?: string;
}

export interface Case {
  case: number;
  version: number;
  account: string;
  transaction_id: string;
  state: "open" | "assigned" | "snoozed" | "decided";
  assignee: string | null;
  locked_until: string | null;
  due_at: string;
  snoozed_until: string | null;
  created_at: string;
  action: Action;
  score: number | null;
  expected_loss_base_minor: number;
  amount_minor: number;
  currency: string;
  amount_base_minor: number;
  occurred_at: string;
  customer_id: string;
  card_id: string;
  merchant_id: string;
  device_id: string;
  ip: string;
  country: string;
  channel: string;
  rules: string[];
  outcome: Outcome | null;
  reason: string | null;
  decided_by: string | null;
  decided_at: string | null;
  effective_at: string | null;
  is_applied: boolean;
}

export interface Cases {
  cases: Case[];
  next: string | null;
}

export interface Reason {
  code: string;
  text: string;
  detail?: string;
  public?: boolean;
}

export interface FiredRule {
  id: string;
  name?: string;
  action: Action | "tag";
  expression?: string;
  values?: string;
}

export interface Contribution {
  feature: string;
  value: number | null;
  margin: number;
  describe?: string;
}

export interface CaseDecision {
  action: Action;
  score: number | null;
  margin: number | null;
  reasons: Reason[];
  rules: FiredRule[];
  contributions: Contribution[];
  thresholds: { challenge?: number; review?: number; decline?: number } | null;
  model_version: string;
  ruleset_version: string;
  arm: string;
  degraded: string[];
  decided_at: string;
  timings_us: Record<string, number>;
}

export interface TimelineEntry {
  at: string;
  kind: "decision" | "label" | "note" | "shadow" | "audit";
  actor: string;
  text: string;
  detail: Record<string, unknown>;
}

export interface CaseFile {
  case: Case;
  payment: Record<string, unknown>;
  decision: CaseDecision;
  timeline: TimelineEntry[];
}

export type Entity = "customer" | "card" | "device" | "ip" | "merchant";

export interface Series {
  entity: Entity;
  value: string;
  window_s: number;
  step_s: number;
  counts: number[];
  amounts_base_minor: number[];
}

export interface ListWish {
  list: string;
  field: string;
}

export interface CaseVersion {
  case: number;
  version: number;
}

export interface BulkPreview {
  count: number;
  amount_base_minor: number;
  expected_loss_base_minor: number;
  cases: CaseVersion[];
}

export type Filter = Record<string, string>;

export interface View {
  name: string;
  owner: string;
  filter: Filter;
  is_shared: boolean;
}

export interface Latency {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface Overview {
  now: string;
  minutes: number;
  decisions: number;
  per_s: number;
  actions: Partial<Record<Action, number>>;
  latency_us: Record<string, Latency | null>;
  money_base_minor: { stopped: number; let_through: number; in_review: number };
  series: { at: string; actions: Partial<Record<Action, number>>; amounts_base_minor: Partial<Record<Action, number>> }[];
  queue: { open: number; assigned: number; snoozed: number; overdue: number; expected_loss_base_minor: number };
  services: { name: string; is_well: boolean; detail: string }[];
  alerts: { alert: number | string; severity: string; state: string; text: string; since: string }[];
}

export interface LiveDecision {
  account: string;
  transaction_id: string;
  action: Action;
  score: number | null;
  amount_minor: number;
  currency: string;
  amount_base_minor: number;
  decided_at: string;
  case: number | null;
}

/** What the stream tells, by the names of its events. */
export interface LiveEvents {
  /** The oldest first; of many the newest. `in_ms` 0: these were there before. */
  decisions: { count: number; in_ms: number; decisions: LiveDecision[] };
  queue: { open: number; assigned: number; overdue: number; newest: number | null; changes: number };
  alerts: { pending: number; firing: number; newest: number | null };
}

export interface User {
  name: string;
  full_name: string;
  roles: Role[];
  is_disabled: boolean;
  created_at: string;
  password_at: string;
}

export interface AuditRow {
  id: number;
  link: number;
  at: string;
  account: string;
  actor: string;
  action: string;
  subject: string;
  detail: Record<string, unknown>;
}

export interface AuditCheck {
  is_whole: boolean;
  rows: number;
  head: string;
  trouble: string | null;
}

/** What a request was refused with. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
    this.name = "Refused";
  }
}

let csrf = "";
let loggedOut: () => void = () => {};

/** Has `whenGone` called when the service no longer knows the session. */
export function onLoggedOut(whenGone: () => void): void {
  loggedOut = whenGone;
}

const sentences: Record<number, string> = {
  401: "You are not logged in.",
  403: "Your roles do not allow this.",
  404: "There is no such thing.",
  409: "Somebody else was faster: this has changed since you opened it.",
  429: "Too many attempts.",
  503: "The service cannot answer now; try again in a moment.",
};

async function refusal(answer: Response): Promise<Refused> {
  let text = sentences[answer.status] ?? `The service answered ${answer.status}.`;
  if (answer.headers.get("Content-Type")?.includes("json")) {
    const problem: unknown = await answer.json().catch(() => null);
    const detail = (problem as { detail?: unknown } | null)?.detail;
    if (typeof detail === "string" && detail) text = detail[0]!.toUpperCase() + detail.slice(1);
  }
  const wait = Number(answer.headers.get("Retry-After"));
  return new Refused(answer.status, text, Number.isFinite(wait) && wait > 0 ? wait : null);
}

export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return send<T>(method, path, body === undefined ? {} : { type: "application/json", body: JSON.stringify(body) }, signal);
}

/** Sends a file as it is. */
export const upload = <T>(path: string, type: string, body: Blob): Promise<T> => send<T>("POST", path, { type, body });

async function send<T>(method: string, path: string, what: { type?: string; body?: BodyInit }, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (what.type) headers["Content-Type"] = what.type;
  let answer: Response;
  try {
    answer = await fetch(path, { method, headers, body: what.body, credentials: "same-origin", signal });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Refused(0, "The service cannot be reached.");
  }
  if (!answer.ok) {
    const refused = await refusal(answer);
    if (answer.status === 401 && path !== "/v1/session") loggedOut();
    throw refused;
  }
  if (answer.status === 204) return undefined as T;
  return (await answer.json()) as T;
}

export function query(members: Record<string, string | number | null | undefined>): string {
  const kept = new URLSearchParams();
  for (const [name, value] of Object.entries(members))
    if (value !== undefined && value !== null && value !== "") kept.set(name, String(value));
  const text = kept.toString();
  return text ? `?${text}` : "";
}

function keep(session: Session): Session {
  csrf = session.csrf;
  return session;
}

export const api = {
  /** Whether the service has the route of a GET; one that does not answer is taken to have it. */
  has: (path: string) =>
    call<unknown>("GET", path).then(
      () => true,
      (error: unknown) => !(error instanceof Refused && error.status === 404),
    ),
  session: () => call<Session>("GET", "/v1/session").then(keep),
  logIn: (name: string, password: string) => call<Session>("POST", "/v1/session", { name, password }).then(keep),
  logOut: () => call<void>("DELETE", "/v1/session"),
  changePassword: (old: string, fresh: string) => call<Session>("POST", "/v1/session/password", { old, new: fresh }).then(keep),

  cases: (filter: Filter, cursor: string | null, limit: number, signal?: AbortSignal) =>
    call<Cases>("GET", `/v1/cases${query({ ...filter, cursor, limit })}`, undefined, signal),
  nextCase: () => call<Case | undefined>("POST", "/v1/cases:next"),
  caseFile: (id: number, signal?: AbortSignal) => call<CaseFile>("GET", `/v1/cases/${id}`, undefined, signal),
  velocity: (id: number, signal?: AbortSignal) =>
    call<{ series: Series[] }>("GET", `/v1/cases/${id}/velocity`, undefined, signal),
  assign: (id: number, version: number, assignee: string) =>
    call<Case>("POST", `/v1/cases/${id}:assign`, { version, assignee }),
  extend: (id: number) => call<Case>("POST", `/v1/cases/${id}:extend`),
  snooze: (id: number, version: number, until: string, note: string) =>
    call<Case>("POST", `/v1/cases/${id}:snooze`, { version, until, ...(note ? { note } : {}) }),
  decide: (id: number, verdict: { version: number; outcome: Outcome; reason: string; note?: string; lists?: ListWish[] }) =>
    call<Case>("POST", `/v1/cases/${id}:decide`, verdict),
  undo: (id: number) => call<Case>("POST", `/v1/cases/${id}:undo`),
  note: (id: number, text: string) => call<Case>("POST", `/v1/cases/${id}/notes`, { text }),
  previewBulk: (filter: Filter) => call<BulkPreview>("POST", "/v1/cases:preview", filter),
  decideBulk: (wish: { cases: CaseVersion[]; outcome: Outcome; reason: string; note?: string; lists?: ListWish[] }) =>
    call<{ decided: number }>("POST", "/v1/cases:decide", wish),
  views: (signal?: AbortSignal) => call<{ views: View[] }>("GET", "/v1/views", undefined, signal),
  putView: (name: string, filter: Filter, isShared: boolean) =>
    call<void>("PUT", `/v1/views/${encodeURIComponent(name)}`, { filter, is_shared: isShared }),
  deleteView: (name: string) => call<void>("DELETE", `/v1/views/${encodeURIComponent(name)}`),

  overview: (minutes: number, signal?: AbortSignal) =>
    call<Overview>("GET", `/v1/overview${query({ minutes })}`, undefined, signal),
  users: (signal?: AbortSignal) => call<{ users: User[] }>("GET", "/v1/users", undefined, signal),
  addUser: (user: { name: string; full_name: string; roles: Role[]; password: string }) => call<void>("POST", "/v1/users", user),
  setPassword: (name: string, password: string) => call<void>("POST", `/v1/users/${encodeURIComponent(name)}:password`, { password }),
  setRoles: (name: string, roles: Role[]) => call<void>("POST", `/v1/users/${encodeURIComponent(name)}:roles`, { roles }),
  setDisabled: (name: string, isDisabled: boolean) =>
    call<void>("POST", `/v1/users/${encodeURIComponent(name)}:${isDisabled ? "disable" : "enable"}`),
  audit: (filter: Filter, before: number | null, limit: number, signal?: AbortSignal) =>
    call<{ rows: AuditRow[] }>("GET", `/v1/audit${query({ ...filter, before, limit })}`, undefined, signal),
  verifyAudit: () => call<AuditCheck>("POST", "/v1/audit:verify"),

  /** Live events; the caller closes it. */
  stream: () => new EventSource("/v1/stream"),
};

export const errorText = (error: unknown): string =>
  error instanceof Error ? error.message : "Something went wrong.";

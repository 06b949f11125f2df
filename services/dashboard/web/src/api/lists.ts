// SPDX-License-Identifier: Apache-2.0
// Lists of values, as docs/api/rules.yaml has them.
import { call, query, upload } from "../api";

export type Purpose = "named" | "deny" | "allow";
export type ListType = "string" | "ip" | "number";

export interface List {
  list: string;
  /** Empty: the common one. */
  account: string;
  purpose: Purpose;
  type: ListType;
  field: string;
  values: number;
  expired: number;
  next_expiry: string | null;
  note: string;
}

export interface Entry {
  value: string;
  note: string;
  added_by: string;
  added_at: string;
  expires_at: string | null;
}

export interface Change {
  seq: number;
  at: string;
  actor: string;
  value: string;
  is_there: boolean;
  note: string;
  expires_at: string | null;
}

export interface Preview {
  fresh: number;
  known: number;
  repeated: number;
  faults: { line: number; what: string }[];
}

export interface Imported {
  taken: number;
  refused: number;
  faults: { line: number; what: string }[];
}

const at = (list: List, rest = "", more: Record<string, string | number | null | undefined> = {}): string =>
  `/v1/lists/${encodeURIComponent(list.list)}${rest}${query({ account: list.account, ...more })}`;

export const listsApi = {
  all: (signal?: AbortSignal) => call<{ lists: List[] }>("GET", "/v1/lists", undefined, signal),
  create: (wish: { list: string; purpose: Purpose; type?: ListType; field?: string; note?: string; account?: string }) =>
    call<List>("POST", "/v1/lists", wish),
  drop: (list: List) => call<void>("DELETE", at(list)),
  entries: (list: List, find: string, after: string, limit: number, signal?: AbortSignal) =>
    call<{ entries: Entry[] }>("GET", at(list, "/entries", { find, after, limit }), undefined, signal),
  changes: (list: List, before: number | null, limit: number, signal?: AbortSignal) =>
    call<{ changes: Change[] }>("GET", at(list, "/changes", { before, limit }), undefined, signal),
  preview: (list: List, values: string[]) => call<Preview>("POST", at(list, "/entries:preview"), { values }),
  add: (list: List, wish: { values: string[]; note?: string; expires_at?: string }) =>
    call<{ changed: number }>("POST", at(list, "/entries:add"), wish),
  remove: (list: List, values: string[]) => call<{ changed: number }>("POST", at(list, "/entries:remove"), { values }),
  import: (list: List, csv: Blob) => upload<Imported>(at(list, "/csv"), "text/csv", csv),
  exportAt: (list: List) => at(list, "/csv"),
};

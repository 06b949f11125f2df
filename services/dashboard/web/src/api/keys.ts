// SPDX-License-Identifier: Apache-2.0
// API keys, as docs/api/dashboard.yaml has them.
import { call } from "../api";

export interface Key {
  prefix: string;
  account: string;
  owner: string;
  scopes: string[];
  state: "valid" | "expired" | "revoked";
  note: string;
  rate_per_s: number;
  burst: number;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  used_at: string | null;
}

export interface Keys {
  keys: Key[];
  scopes: { name: string; may: string }[];
  accounts: string[];
}

export interface KeyWish {
  account: string;
  scopes: string[];
  owner: string;
  note: string;
  rate_per_s: number;
  days: number;
}

/** The one answer with the secret. */
export interface NewKey {
  prefix: string;
  key: string;
}

export const keysApi = {
  list: (signal?: AbortSignal) => call<Keys>("GET", "/v1/keys", undefined, signal),
  add: (wish: KeyWish) => call<NewKey>("POST", "/v1/keys", wish),
  rotate: (prefix: string, graceS: number) =>
    call<NewKey>("POST", `/v1/keys/${encodeURIComponent(prefix)}:rotate`, { grace_s: graceS }),
  revoke: (prefix: string) => call<void>("POST", `/v1/keys/${encodeURIComponent(prefix)}:revoke`),
};

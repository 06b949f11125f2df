// SPDX-License-Identifier: Apache-2.0
// What a case is compared with: what it is tied to, similar past cases, places.
import { type Action, type Entity, call } from "../api";

export interface GraphNode {
  node: number;
  kind: Entity;
  value: string;
  hop: 0 | 1 | 2;
  is_followed: boolean;
  is_hub: boolean;
  is_cut: boolean;
  payments: number;
  frauds: number;
  legit: number;
  cases: number;
  counted_payments: number | null;
  counted_customers: number | null;
  has_more: boolean;
}

export interface RelatedPayment {
  transaction_id: string;
  occurred_at: string;
  amount_minor: number;
  currency: string;
  amount_base_minor: number;
  action: Action;
  score: number | null;
  customer_id: string;
  card_id: string;
  merchant_id: string;
  device_id: string;
  ip: string;
  is_fraud: boolean | null;
  case: number | null;
  case_version: number | null;
  case_state: string | null;
  expected_loss_base_minor: number | null;
}

export interface Graph {
  nodes: GraphNode[];
  edges: { from: number; to: number; payments: number }[];
  payments: { hop: 1 | 2; via: Entity; value: string; payment: RelatedPayment }[];
  nodes_left_out: number;
  payments_left_out: number;
}

export interface SimilarCase {
  proximity: number;
  outcome: "fraud" | "legit" | "unknown";
  labelled_by: string | null;
  labelled_at: string | null;
  transaction_id: string;
  case: number | null;
  reason: string | null;
  occurred_at: string;
  amount_minor: number;
  currency: string;
  amount_base_minor: number;
  action: Action;
  score: number | null;
  shares: string[];
}

export interface Similar {
  model_version: string | null;
  trees: number;
  labelled: number;
  sampled: number;
  is_whole: boolean;
  is_exact: boolean;
  trouble: string | null;
  nearest: { count: number; fraud: number; legit: number; unknown: number };
  similar: SimilarCase[];
}

export interface Place {
  transaction_id: string;
  lat: number;
  lon: number;
  occurred_at: string;
  amount_minor: number;
  currency: string;
  merchant_id: string;
  is_fraud: boolean | null;
  case: number | null;
}

export interface Places {
  places: Place[];
  of: "card" | "customer";
  last: { transaction_id: string; km: number; seconds: number; km_per_h: number | null } | null;
}

export const evidence = {
  graph: (id: number, signal?: AbortSignal) => call<Graph>("GET", `/v1/cases/${id}/graph`, undefined, signal),
  similar: (id: number, signal?: AbortSignal) => call<Similar>("GET", `/v1/cases/${id}/similar`, undefined, signal),
  places: (id: number, signal?: AbortSignal) => call<Places>("GET", `/v1/cases/${id}/places`, undefined, signal),
};

// SPDX-License-Identifier: Apache-2.0
// The smallest changes that would have flipped a case's decision (docs/api/dashboard.yaml), as types and functions.
import { type Action, call } from "../api";

export interface FlipChange {
  kind: "feature" | "field";
  name: string;
  describe: string;
  way: "up" | "down" | "missing" | "given";
  before: number | null;
  after: number | null;
  /** The share of payments below, 0 to 1. */
  place_before: number | null;
  place_after: number | null;
  size: number;
  action: Action;
  score: number | null;
  is_whole: boolean;
  is_smallest: boolean;
  is_read_by_features: boolean;
}

export interface FlipSide {
  found: number;
  changes: FlipChange[];
  unproven: string[];
}

export interface Flip {
  is_known: boolean;
  notes: string[];
  action?: Action;
  decided_by?: string;
  score?: number | null;
  tried?: number;
  is_cut?: boolean;
  milder?: FlipSide;
  harder?: FlipSide;
}

export const flipOf = (id: number, signal?: AbortSignal): Promise<Flip> => call<Flip>("GET", `/v1/cases/${id}/flip`, undefined, signal);

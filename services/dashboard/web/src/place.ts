// SPDX-License-Identifier: Apache-2.0
// Which cases the queue showed last, in which order: so that a case knows the one before and after it.
import type { Filter } from "./api";

let filter: Filter = {};
let order: number[] = [];

export function rememberQueue(shown: Filter, cases: number[]): void {
  filter = shown;
  order = cases;
}

export interface Place {
  filter: Filter;
  at: number;
  of: number;
  before: number | undefined;
  after: number | undefined;
}

export function placeOf(id: number): Place {
  const at = order.indexOf(id);
  return {
    filter,
    at,
    of: order.length,
    before: at > 0 ? order[at - 1] : undefined,
    after: at >= 0 ? order[at + 1] : order[0] === id ? undefined : order[0],
  };
}

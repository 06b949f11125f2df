// SPDX-License-Identifier: Apache-2.0
// What thresholds would have done with the payments of a histogram: sums from an edge on, so that each place of a slider
// costs three look-ups and is exact.
import type { Bucket, Kinds, Thresholds } from "../api/settings";

/** No score reaches it. */
export const never = 2;

export interface Band {
  counts: Kinds;
  amounts: Kinds;
}

export interface Figures {
  challenged: Band;
  reviewed: Band;
  declined: Band;
  /** Of what is reviewed or declined and known, the share that is fraud; null: nothing is. */
  precision: number | null;
  /** Of the known frauds, the share that is reviewed or declined; null: there are none. */
  recall: number | null;
  queuePerDay: number;
  caughtMinor: number;
  stoppedGoodMinor: number;
  reviewMinor: number;
  /** Caught, less the share of stopped good money that is lost, less reviews. */
  netMinor: number;
}

const add = (a: Kinds, b: Kinds): Kinds => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const less = (a: Kinds, b: Kinds): Kinds => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const none: Band = { counts: [0, 0, 0], amounts: [0, 0, 0] };

export class Curve {
  readonly edges: number[];
  private readonly above: Band[];

  constructor(
    buckets: Bucket[],
    private readonly days: number,
    private readonly reviewCostMinor: number,
  ) {
    const sorted = [...buckets].sort((a, b) => a.from - b.from);
    this.edges = sorted.map((bucket) => bucket.from);
    this.above = new Array<Band>(sorted.length + 1).fill(none);
    for (let i = sorted.length - 1; i >= 0; i--)
      this.above[i] = {
        counts: add(this.above[i + 1]!.counts, sorted[i]!.counts),
        amounts: add(this.above[i + 1]!.amounts, sorted[i]!.amounts_base_minor),
      };
  }

  /** The first edge at or above a score; what lies between two edges is counted from the upper one on. */
  place(score: number): number {
    let low = 0;
    let high = this.edges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.edges[middle]! < score) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private from(score: number): Band {
    return this.above[this.place(score)]!;
  }

  at(t: Thresholds, goodShareLost: number): Figures {
    const declineFrom = this.from(t.decline);
    const reviewFrom = this.from(Math.min(t.review, t.decline));
    const challengeFrom = this.from(Math.min(t.challenge, t.review, t.decline));
    const between = (a: Band, b: Band): Band => ({ counts: less(a.counts, b.counts), amounts: less(a.amounts, b.amounts) });
    const reviewed = between(reviewFrom, declineFrom);
    const all = this.above[0]!;
    const known = reviewFrom.counts[0] + reviewFrom.counts[1];
    const count = reviewed.counts[0] + reviewed.counts[1] + reviewed.counts[2];
    const caughtMinor = reviewFrom.amounts[0];
    const stoppedGoodMinor = declineFrom.amounts[1];
    const reviewMinor = count * this.reviewCostMinor;
    return {
      challenged: between(challengeFrom, reviewFrom), reviewed, declined: declineFrom,
      precision: known ? reviewFrom.counts[0] / known : null, recall: all.counts[0] ? reviewFrom.counts[0] / all.counts[0] : null,
      queuePerDay: count / this.days, caughtMinor, stoppedGoodMinor, reviewMinor,
      netMinor: caughtMinor - goodShareLost * stoppedGoodMinor - reviewMinor,
    };
  }

  /** The lowest edge from which on, below `decline`, no more than `perDay` payments are reviewed. */
  reviewFor(decline: number, perDay: number): number {
    const total = (band: Band) => band.counts[0] + band.counts[1] + band.counts[2];
    const declined = total(this.from(decline));
    for (let i = 0; i < this.edges.length && this.edges[i]! < decline; i++)
      if (total(this.above[i]!) - declined <= perDay * this.days) return this.edges[i]!;
    return decline;
  }
}

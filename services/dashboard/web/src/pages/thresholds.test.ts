// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Bucket, Thresholds } from "../api/settings";
import { Curve, never } from "./thresholds";

/** A made-up month of payments, and its histogram. */
const edges = [0, 0.1, 0.25, 0.5, 0.8];
const payments = Array.from({ length: 400 }, (_, i) => ({
  score: edges[(i * 7) % 5]! + 0.01 * (i % 3), kind: (i * 13) % 3, amount: 100 + ((i * 31) % 900),
}));
const buckets: Bucket[] = edges.map((from) => ({ from, counts: [0, 0, 0], amounts_base_minor: [0, 0, 0] }));
for (const { score, kind, amount } of payments) {
  const bucket = buckets[edges.filter((edge) => edge <= score).length - 1]!;
  bucket.counts[kind]!++;
  bucket.amounts_base_minor[kind]! += amount;
}

describe("thresholds over a histogram", () => {
  it("has the figures of every payment counted one by one, at each edge", () => {
    const curve = new Curve(buckets, 30, 300);
    for (const challenge of [0.1, 0.25])
      for (const review of [0.25, 0.5, never])
        for (const decline of [0.5, 0.8, never]) {
          const t: Thresholds = { challenge, review, decline };
          const flagged = payments.filter(({ score }) => score >= Math.min(review, decline));
          const reviewed = flagged.filter(({ score }) => score < decline);
          const known = flagged.filter(({ kind }) => kind < 2);
          const frauds = flagged.filter(({ kind }) => kind === 0);
          const good = payments.filter(({ score, kind }) => score >= decline && kind === 1);
          const sum = (rows: typeof payments) => rows.reduce((total, { amount }) => total + amount, 0);
          const at = curve.at(t, 0.5);
          expect(at.precision).toBe(known.length ? frauds.length / known.length : null);
          expect(at.recall).toBe(frauds.length / payments.filter(({ kind }) => kind === 0).length);
          expect(at.queuePerDay).toBeCloseTo(reviewed.length / 30, 10);
          expect(at.caughtMinor).toBe(sum(frauds));
          expect(at.stoppedGoodMinor).toBe(sum(good));
          expect(at.netMinor).toBeCloseTo(sum(frauds) - 0.5 * sum(good) - 300 * reviewed.length, 6);
        }
  });
  it("finds the lowest review threshold that the capacity allows", () => {
    const curve = new Curve(buckets, 30, 300);
    for (const perDay of [0, 2, 4, 6, 8, 100]) {
      const review = curve.reviewFor(0.8, perDay);
      expect(curve.at({ challenge: never, review, decline: 0.8 }, 0.5).queuePerDay).toBeLessThanOrEqual(perDay);
      const lower = edges[edges.indexOf(review) - 1];
      if (lower !== undefined) expect(curve.at({ challenge: never, review: lower, decline: 0.8 }, 0.5).queuePerDay).toBeGreaterThan(perDay);
    }
  });
  it("has nothing to say of nothing", () => {
    const at = new Curve([], 30, 300).at({ challenge: never, review: never, decline: never }, 0.5);
    expect(at).toMatchObject({ precision: null, recall: null, queuePerDay: 0, netMinor: 0 });
  });
});

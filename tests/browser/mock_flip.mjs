// SPDX-License-Identifier: Apache-2.0
// Plays what would have flipped a case's decision (docs/api/dashboard.yaml): case 3 was decided by a list, the decision
// of case 4 does not come out again, of case 6 nothing flips it, all others have changes of each way.

const change = (name, way, before, after, action, more = {}) => ({
  kind: name.startsWith("tx.") ? "field" : "feature", name, describe: "", way, before, after, place_before: null, place_after: null,
  size: 0.3, action, score: 0.41, is_whole: true, is_smallest: true, is_read_by_features: false, ...more,
});

export function flip(the, hostile) {
  if (the.case === 3)
    return {
      is_known: true, notes: ["A list decided. No number changes that, only the list does."], action: "decline", decided_by: "list", score: 0.2,
      tried: 0, milder: { found: 0, changes: [], unproven: [] }, harder: { found: 0, changes: [], unproven: [] },
    };
  if (the.case === 4)
    return { is_known: false, notes: ["The decision does not come out again as it is stored, so nothing is told of what would flip it. Replay shows what differs."] };
  const sides =
    the.case === 6
      ? { milder: { found: 0, changes: [], unproven: [] }, harder: { found: 0, changes: [], unproven: ["count_1h"] } }
      : {
          milder: {
            found: 5,
            changes: [
              change("customer_distinct_terminals_7d", "down", 9, 7, "approve", { describe: "terminals within a week", place_before: 0.991, place_after: 0.987, size: 0.004, score: 0.31 }),
              change("amount_over_customer_mean_30d", "down", 8.2, 4.699999809265137, "approve", { describe: "amount over the customer's mean", place_before: 0.97, place_after: 0.71, size: 0.26, is_whole: false, score: 0.18 }),
              change("tx.amount", "down", 32075, 11840, "approve", { size: 0.46, place_before: 0.97, place_after: 0.71, is_read_by_features: true }),
              change("card_count_1h", "missing", 4, null, "approve", { size: 1 }),
              change("terminal_fraud_share_28d", "given", null, 0.0123, "approve", { describe: hostile, size: 0.31, place_after: 0.81, is_whole: false, is_smallest: false }),
            ],
            unproven: [],
          },
          harder: {
            found: 1,
            changes: [change("tx.attributes.basket_items", "up", 3, 12, "decline", { size: 0.6 })],
            unproven: ["tx.attributes.distance"],
          },
        };
  return { is_known: true, notes: the.case === 7 ? ["The features were those of an earlier moment."] : [], action: "review", decided_by: "rule", score: 0.41, tried: 31, ...sides };
}

// SPDX-License-Identifier: Apache-2.0
// The replay of a case: one that comes out, and for every third case one that does not.
export function replayOf(the, hostile) {
  const differs = the.case % 3 === 0;
  const step = (text, depth, value, more) => ({ text, at: 0, depth, times: 1, value, kind: "bool", literal: false, ...more });
  return {
    replay: {
      outcome: differs ? "differs" : "matches", transaction_id: the.transaction_id, model_version: "17", ruleset_version: "4", arm: "champion",
      degraded: [], decided_at: the.created_at, lists_lag_us: 0,
      steps: [
        { step: "payment", outcome: "matches", note: "" },
        { step: "score", outcome: differs ? "differs" : "matches", note: "" },
        { step: "rules", outcome: "matches", note: "by lists as of 0.412 s before: a later change had not reached the process" },
        { step: "record", outcome: differs ? "differs" : "matches", note: "1204 bytes" },
      ],
      differences: differs
        ? [
            { step: "score", field: "score", stored: "0.41000000000000003 (bits 3fda3d70a3d70a3e)", computed: "0.40999999999999998 (bits 3fda3d70a3d70a3d)" },
            { step: "record", field: hostile, stored: hostile, computed: "(none)" },
          ]
        : [],
      difference_count: differs ? 40 : 0,
    },
    explanation: {
      ruleset_version: "4", evaluated: 21, is_cut: false,
      rules: [
        {
          id: "large_for_customer", name: "Large for this customer", action: "review", tag: "", priority: 50, shadow: false, fires: true, value: "true",
          expression: "tx.amount > 5 * customer_avg_amount_30d && (score >= 0.2 || in_list(tx.card_id, \"watched\"))",
          steps: [
            step("tx.amount > 5 * customer_avg_amount_30d && (score >= 0.2 || in_list(tx.card_id, \"watched\"))", 0, "true"),
            step("tx.amount > 5 * customer_avg_amount_30d", 1, "true"),
            step("tx.amount", 2, "32075", { kind: "double" }),
            step("5 * customer_avg_amount_30d", 2, "19557.5", { kind: "double" }),
            step("5", 3, "5", { kind: "int", literal: true }),
            step("customer_avg_amount_30d", 3, "3911.5", { kind: "double" }),
            step("score >= 0.2 || in_list(tx.card_id, \"watched\")", 1, "true"),
            step("score >= 0.2", 2, "true"),
            step("in_list(tx.card_id, \"watched\")", 2, null, { times: 0, kind: null }),
          ],
        },
        {
          id: "odd", name: hostile, action: "tag", tag: "odd", priority: 1, shadow: true, fires: false, value: "error: division by zero", expression: "1 / 0 > 2",
          steps: [step("1 / 0 > 2", 0, "error: division by zero", { kind: "error" })],
        },
      ],
    },
    shadow: { ruleset_version: "5", evaluated: 22, is_cut: true, rules: [] },
  };
}

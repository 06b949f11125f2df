// SPDX-License-Identifier: Apache-2.0
// How a case can end, and the reason codes that are kept with it.
import type { Outcome } from "./api";

export const outcomes: { outcome: Outcome; key: string; label: string; tone: "good" | "bad" | "plain"; effect: string }[] = [
  { outcome: "legit", key: "1", label: "Legitimate", tone: "good", effect: "Writes the label “legitimate” of source analyst" },
  { outcome: "fraud", key: "2", label: "Fraud", tone: "bad", effect: "Writes the label “fraud” of source analyst" },
  { outcome: "unclear", key: "3", label: "Unclear", tone: "plain", effect: "Closes the case without a label" },
];

export const reasonCodes: Record<Outcome, { code: string; label: string }[]> = {
  legit: [
    { code: "known_customer", label: "Known customer, usual behaviour" },
    { code: "customer_confirmed", label: "Customer confirmed it" },
    { code: "explained_change", label: "Unusual, and explained (travel, new device)" },
    { code: "rule_too_strict", label: "A rule is too strict" },
    { code: "other", label: "Other: see the note" },
  ],
  fraud: [
    { code: "stolen_card", label: "Stolen or copied card" },
    { code: "account_takeover", label: "Account taken over" },
    { code: "false_identity", label: "False identity" },
    { code: "card_testing", label: "Cards being tried out" },
    { code: "merchant_fraud", label: "Merchant or terminal is in on it" },
    { code: "customer_denied", label: "Customer denied it" },
    { code: "other", label: "Other: see the note" },
  ],
  unclear: [
    { code: "not_enough_evidence", label: "Not enough evidence" },
    { code: "customer_not_reached", label: "Customer not reached" },
    { code: "duplicate_case", label: "Same as another case" },
    { code: "other", label: "Other: see the note" },
  ],
};

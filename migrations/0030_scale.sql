-- SPDX-License-Identifier: Apache-2.0
-- What the pages look up stays quick however much there is; what they need no longer is removed.

-- Scores of the last weeks, without looking at the rows themselves; and an account's newest payment.
CREATE INDEX payments_time ON payments (account, known_at) INCLUDE (score, amount_base_minor, transaction_id);

CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_action ON audit (action text_pattern_ops, id);

GRANT DELETE ON payments TO assay_dashboard;

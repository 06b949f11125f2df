-- SPDX-License-Identifier: Apache-2.0
-- Backtests read decisions by when they were made. Rows of a time lie together, so a summary of each few pages is enough.
CREATE INDEX decisions_decided_at ON decisions USING brin (decided_at) WITH (pages_per_range = 16);

GRANT SELECT ON labels, outbox TO assay_rules;

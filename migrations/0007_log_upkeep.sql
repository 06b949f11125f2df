-- SPDX-License-Identifier: Apache-2.0
-- A starting features looks for the newest PLAN entry, of which there are a handful among millions.
CREATE INDEX log_plan ON log (n) WHERE kind = 3;

-- Making a partition locks the DEFAULT one, which whoever reads the whole log holds for as long as that takes.
-- Rather than wait for them, and let all others wait behind, a month is made later: DEFAULT has its rows until
-- then.
ALTER FUNCTION ensure_partitions SET lock_timeout = '100ms';

-- SPDX-License-Identifier: Apache-2.0
-- How many payments one that waits stands for. NULL: it was drawn before this was kept, by the share of the settings.
ALTER TABLE online_pending ADD COLUMN times double precision CHECK (times >= 1);

-- SPDX-License-Identifier: Apache-2.0
-- The changes of one list, the newest first.
CREATE INDEX list_changes_seq ON list_changes (list, seq);

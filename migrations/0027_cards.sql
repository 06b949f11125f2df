-- SPDX-License-Identifier: Apache-2.0
-- Card Precision@k of days that have matured, computed once of each: by lane, model version and day of known_at (UTC).
CREATE TABLE monitor_cards (
    lane      integer NOT NULL,
    version   bigint NOT NULL,
    day       timestamptz NOT NULL, -- its midnight
    k         integer NOT NULL,
    customers integer NOT NULL,     -- that were looked at, at most k
    found     integer NOT NULL,     -- of them, with fraud
    hashes    bytea NOT NULL,       -- of those with fraud, 8 bytes each: they are left out on later days
    PRIMARY KEY (lane, version, day)
);

GRANT SELECT ON monitor_cards TO assay_dashboard;
GRANT SELECT, INSERT, DELETE ON monitor_cards TO assay_monitor;

-- SPDX-License-Identifier: Apache-2.0
-- Samples of served vectors that the monitor computed again from the log.
CREATE TABLE monitor_checks (
    check_number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL DEFAULT now(),
    recomputed   bigint NOT NULL,
    mismatched   bigint NOT NULL, -- must be 0
    seconds      double precision NOT NULL
);
CREATE INDEX monitor_checks_at ON monitor_checks (at);

GRANT SELECT ON monitor_checks TO assay_dashboard;
GRANT SELECT, INSERT, DELETE ON monitor_checks TO assay_monitor;

-- SPDX-License-Identifier: Apache-2.0
-- What the monitor counts of decisions once labels come: by lane, model version and day of known_at (UTC).

-- A version whose decisions are counted, with what its bundle says of it.
CREATE TABLE monitor_quality_models (
    lane               integer NOT NULL,
    version            bigint NOT NULL,
    name               text NOT NULL,
    label_delay_days   integer NOT NULL, -- after which a day has matured
    promised_precision double precision, -- average precision, by its bundle; NULL: it does not say
    promised_frauds    double precision, -- on which that was measured
    PRIMARY KEY (lane, version)
);

CREATE TABLE monitor_quality (
    lane    integer NOT NULL,
    version bigint NOT NULL,
    day     timestamptz NOT NULL, -- its midnight
    counts  bytea NOT NULL,       -- packed: shared/quality/day.h
    PRIMARY KEY (lane, version, day)
);

GRANT SELECT ON monitor_quality_models, monitor_quality TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON monitor_quality_models, monitor_quality TO assay_monitor;

-- What was counted before is counted again from the beginning of the log, with quality.
TRUNCATE monitor_pending, monitor_health, monitor_models, monitor_hours, monitor_windows, monitor_verdicts;
DELETE FROM followers WHERE follower = 'monitor';

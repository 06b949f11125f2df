-- SPDX-License-Identifier: Apache-2.0
-- What the monitor counts of each model, what it found in the counts, and what it asked for. Lanes and times are those
-- of the migration before: see monitor_health.

-- A version that decides in a lane. Layout, windows and alarms are packed: shared/drift.
CREATE TABLE monitor_models (
    lane           integer NOT NULL,
    version        bigint NOT NULL,
    name           text NOT NULL,
    layout         bytea NOT NULL, -- what is counted
    baseline       bytea NOT NULL, -- its first decisions: the reference for what its bundle knows nothing of
    open           bytea NOT NULL, -- the window by count that is being filled
    alarms         bytea NOT NULL, -- which findings held in how many windows running
    number         bigint NOT NULL, -- of the open window, from 1
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    has_histograms boolean NOT NULL,
    PRIMARY KEY (lane, version)
);

-- Windows by time, and those by count that are closed.
CREATE TABLE monitor_hours (
    lane    integer NOT NULL,
    version bigint NOT NULL,
    hour    timestamptz NOT NULL,
    rows    bigint NOT NULL,
    counts  bytea NOT NULL,
    PRIMARY KEY (lane, version, hour)
);
CREATE TABLE monitor_windows (
    lane     integer NOT NULL,
    version  bigint NOT NULL,
    number   bigint NOT NULL,
    rows     bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    counts   bytea NOT NULL,
    PRIMARY KEY (lane, version, number)
);

-- What a closed window said of a subject. Segments are there only where something was beyond.
CREATE TABLE monitor_verdicts (
    lane               integer NOT NULL,
    version            bigint NOT NULL,
    number             bigint NOT NULL, -- of the window
    kind               text NOT NULL,   -- 'feature', 'score', 'action', 'field', 'segment_score', 'segment_action'
    field              text NOT NULL,   -- of fields and segments, else ''
    name               text NOT NULL,
    at                 timestamptz NOT NULL, -- of the window's last decision
    rows               bigint NOT NULL,
    reference_rows     bigint NOT NULL,
    psi                double precision,
    psi_critical       double precision,
    js                 double precision, -- bits
    js_critical        double precision,
    missing            double precision,
    missing_reference  double precision,
    missing_critical   double precision,
    unseen             double precision,
    unseen_reference   double precision,
    unseen_critical    double precision,
    is_beyond          boolean NOT NULL, -- in this window
    is_alarm           boolean NOT NULL, -- in as many running as it takes
    text               text NOT NULL,
    PRIMARY KEY (lane, version, kind, field, name, number)
);
CREATE INDEX monitor_verdicts_window ON monitor_verdicts (lane, version, number);

-- New models that the monitor asked for.
CREATE TABLE monitor_requests (
    request      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name         text NOT NULL,
    lane         integer NOT NULL,
    version      bigint NOT NULL, -- that drifted or decayed
    run          bigint NOT NULL, -- of training_runs
    reason       text NOT NULL,
    at           timestamptz NOT NULL, -- of the lane
    requested_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX monitor_requests_name ON monitor_requests (name, request);

GRANT SELECT ON monitor_models, monitor_hours, monitor_windows, monitor_verdicts, monitor_requests TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON monitor_models, monitor_hours, monitor_windows, monitor_verdicts,
    monitor_requests TO assay_monitor;

-- SPDX-License-Identifier: Apache-2.0
-- The registry as people read it: who registered and moved a version stands in the audit.
GRANT SELECT ON audit, audit_chain TO assay_retrainer;
CREATE INDEX audit_models ON audit (subject, id) WHERE action LIKE 'model.%';
CREATE INDEX training_runs_version ON training_runs (version) WHERE version IS NOT NULL;

-- One run of a name waits at a time, however many ask in the same moment.
UPDATE training_runs t SET state = 'cancelled', is_cancelled = true, ended_at = now(), message = 'another waited already'
    WHERE state = 'queued' AND EXISTS (SELECT FROM training_runs o
        WHERE o.name = t.name AND o.state = 'queued' AND o.run < t.run);
CREATE UNIQUE INDEX training_runs_waiting ON training_runs (name) WHERE state = 'queued';

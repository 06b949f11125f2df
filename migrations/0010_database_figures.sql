-- SPDX-License-Identifier: Apache-2.0
-- What is worth watching of the database itself, for /metrics: a row per figure. It runs as the owner of the schema,
-- who sees more than a service does; what even the owner may not see (standbys, the directory of the WAL: GRANT
-- pg_monitor TO owner) has no row. Cheap: statistics and catalogues, and of our tables only the small ones.
CREATE FUNCTION database_figures() RETURNS TABLE (figure text, label text, value double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY
        SELECT f.figure, '', f.value::double precision
        FROM pg_stat_database d, LATERAL (VALUES
            ('database_bytes', pg_database_size(d.datid)::numeric), ('commits', d.xact_commit), ('rollbacks', d.xact_rollback),
            ('deadlocks', d.deadlocks), ('temporary_bytes', d.temp_bytes)) f (figure, value)
        WHERE d.datname = current_database();
    RETURN QUERY SELECT 'transaction_id_age', '', max(age(datfrozenxid))::double precision FROM pg_database;
    RETURN QUERY
        SELECT 'oldest_transaction_seconds', '',
            coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::double precision
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid();
    RETURN QUERY
        SELECT 'connections', coalesce(state, 'unknown'), count(*)::double precision
        FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY state;
    RETURN QUERY
        SELECT 'connections_limit', '', setting::double precision FROM pg_settings WHERE name = 'max_connections';
    RETURN QUERY
        SELECT f.figure, f.label, f.value::double precision
        FROM pg_stat_bgwriter b, LATERAL (VALUES
            ('checkpoints', 'timed', b.checkpoints_timed), ('checkpoints', 'requested', b.checkpoints_req)) f (figure, label, value);
    RETURN QUERY
        SELECT 'wal_limit_bytes', '', setting::double precision * 1048576 FROM pg_settings WHERE name = 'max_wal_size';
    IF NOT pg_is_in_recovery() THEN
        RETURN QUERY SELECT 'wal_written_bytes', '', pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::double precision;
    END IF;
    RETURN QUERY
        SELECT f.figure, r.name, f.value::double precision
        FROM (SELECT coalesce(nullif(application_name, ''), 'unnamed') AS name,
                max(pg_wal_lsn_diff(sent_lsn, replay_lsn)) AS bytes,
                max(coalesce(extract(epoch FROM replay_lag), 0)) AS seconds
            FROM pg_stat_replication WHERE replay_lsn IS NOT NULL GROUP BY 1) r,
            LATERAL (VALUES ('replication_lag_bytes', r.bytes), ('replication_lag_seconds', r.seconds)) f (figure, value);
    RETURN QUERY
        SELECT 'replication_slot_bytes', slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::double precision
        FROM pg_replication_slots WHERE restart_lsn IS NOT NULL AND NOT pg_is_in_recovery();
    RETURN QUERY
        SELECT f.figure, t.name, f.value::double precision
        FROM (SELECT coalesce(pg_partition_root(s.relid), s.relid)::regclass::text AS name, sum(s.n_dead_tup) AS dead,
                sum(s.n_live_tup) AS live
            FROM pg_stat_user_tables s WHERE s.schemaname = current_schema() GROUP BY 1) t,
            LATERAL (VALUES ('dead_rows', t.dead), ('live_rows', t.live)) f (figure, value);
    RETURN QUERY
        SELECT 'partitions', i.inhparent::regclass::text, count(*)::double precision
        FROM pg_inherits i JOIN pg_partitioned_table p ON p.partrelid = i.inhparent GROUP BY i.inhparent;
    RETURN QUERY
        SELECT f.figure, '', f.value::double precision
        FROM (SELECT count(*) AS entries, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS oldest
            FROM (SELECT created_at FROM outbox ORDER BY seq LIMIT 100000) o) q,
            LATERAL (VALUES ('outbox_entries', q.entries), ('outbox_oldest_seconds', q.oldest)) f (figure, value);
    RETURN QUERY
        SELECT 'retraining_runs', state, count(*)::double precision FROM training_runs GROUP BY state;
    RETURN QUERY
        SELECT 'retraining_oldest_seconds', state, extract(epoch FROM clock_timestamp() -
            min(CASE state WHEN 'queued' THEN requested_at ELSE coalesce(started_at, requested_at) END))::double precision
        FROM training_runs WHERE state IN ('queued', 'running') GROUP BY state;
    RETURN QUERY -- runs of a name since the last that made a model
        SELECT 'retraining_failed_in_a_row', r.name, count(*) FILTER (WHERE r.state = 'failed' AND r.run >
            coalesce((SELECT max(s.run) FROM training_runs s WHERE s.name = r.name AND s.state = 'succeeded'), 0))::double precision
        FROM training_runs r GROUP BY r.name;
    RETURN QUERY
        SELECT 'retraining_last_success', r.name, extract(epoch FROM max(r.ended_at))::double precision
        FROM training_runs r WHERE r.state = 'succeeded' AND r.ended_at IS NOT NULL GROUP BY r.name;
    RETURN QUERY
        SELECT 'retraining_schedules', '', count(*)::double precision FROM retrain_schedules WHERE is_enabled;
    RETURN QUERY
        SELECT 'champion_since', name, extract(epoch FROM updated_at)::double precision
        FROM aliases WHERE alias = 'champion';
    BEGIN
        RETURN QUERY SELECT 'wal_disk_bytes', '', sum(size)::double precision FROM pg_ls_waldir();
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;
    END;
END $$;
REVOKE ALL ON FUNCTION database_figures FROM PUBLIC;
GRANT EXECUTE ON FUNCTION database_figures TO assay_features, assay_monitor;

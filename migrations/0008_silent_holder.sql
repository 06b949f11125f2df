-- SPDX-License-Identifier: Apache-2.0
-- A features that was stopped, or that the network has cut off, still holds the log's lock: its session lives until
-- TCP notices, or for ever. A standby that waits may end that session. With it goes the lock, and whatever was not
-- committed: so this is a fence, not a guess, and a holder that comes back can append nothing.
--
-- Silent is who lets PostgreSQL wait: its session's process waits for the client, and has for so long. A live holder
-- reads the outbox every second. One that is busy (a long statement, a slow disk) is not silent.
--
-- Whoever owns the schema needs to see and end the session: a superuser does; else GRANT pg_signal_backend,
-- pg_read_all_stats to the owner. Without them a stopped holder keeps the log until it goes on, as before.
CREATE FUNCTION end_silent_log_holder(log_lock bigint, silent_for interval) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    holder record;
BEGIN
    SELECT a.pid, a.usename, a.client_addr, a.state, clock_timestamp() - a.state_change AS silence INTO holder
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid = (log_lock >> 32)::oid AND l.objid = (log_lock & 4294967295)::oid
        AND a.wait_event_type = 'Client' AND clock_timestamp() - a.state_change > silent_for;
    IF NOT FOUND OR NOT pg_terminate_backend(holder.pid) THEN
        RETURN NULL;
    END IF;
    RETURN format('process %s of %s, silent for %s', holder.pid, holder.usename, holder.silence);
END $$;
REVOKE ALL ON FUNCTION end_silent_log_holder FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_silent_log_holder TO assay_features;

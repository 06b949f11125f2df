-- SPDX-License-Identifier: Apache-2.0
-- Velocities: what rules ask for is computed by features, from the log on.

-- A draft that is prepared has what it asks for computed, so that it can be published at once. Null: not prepared.
ALTER TABLE rulesets ADD COLUMN prepared_at timestamptz;

-- The rule sets whose velocities are computed: in force, in shadow, prepared, and for a while those that were in force,
-- so that rolling back finds them. What was written in later comes first, those in force before all.
CREATE FUNCTION rulesets_needed(kept interval)
    RETURNS TABLE (version bigint, revision integer, body text) STABLE LANGUAGE sql AS $$
    SELECT version, revision, body::text FROM rulesets
    WHERE state IN ('published', 'shadow') OR (state = 'draft' AND greatest(prepared_at, updated_at) > now() - kept
        AND prepared_at IS NOT NULL) OR (state = 'retired' AND published_at IS NOT NULL AND retired_at > now() - kept)
    ORDER BY array_position(ARRAY['published', 'shadow', 'draft', 'retired'], state), version DESC
$$;

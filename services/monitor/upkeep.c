/* SPDX-License-Identifier: Apache-2.0 */
#include "upkeep.h"

#include <inttypes.h>
#include <math.h>

#include "lifestore/row.h"
#include "monitorstore/condition.h"

enum { LABELS_LEAST = 10 /* a day, before */, BEHIND_MINUTES = 10 };

/* Asks, and has a condition told of each row. */
static enum err tell_rows(struct pg_session *s, const char *sql,
                          void (*read)(struct condition *c, const struct pg_result *r, size_t row,
                                       struct arena *arena),
                          struct why *why)
{
    struct arena arena = { 0 };
    struct pg_result *r = NULL;
    enum err err = row_ask(s, sql, NULL, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct condition c = { .value = (double)NAN, .threshold = (double)NAN };

        read(&c, r, i, &arena);
        err = condition_report(s, &c, NULL, why);
        arena_reset(&arena);
    }
    pg_result_free(r);
    arena_release(&arena);
    return err;
}

/* ---- labels ---- */

/* A lane's now is its newest hour. */
static const char labels_sql[] =
    "SELECT h.lane::int8, coalesce(sum(h.labels) FILTER (WHERE h.hour > n.newest - interval '2 days'), "
    "0)::int8, "
    "coalesce(sum(h.transactions) FILTER (WHERE h.hour > n.newest - interval '2 days'), 0)::int8, "
    "(coalesce(sum(h.labels) FILTER (WHERE h.hour <= n.newest - interval '2 days'), 0) / 14)::float8 "
    "FROM monitor_health h JOIN (SELECT lane, max(hour) AS newest FROM monitor_health GROUP BY lane) n USING "
    "(lane) "
    "WHERE h.hour > n.newest - interval '16 days' GROUP BY h.lane";

static void read_labels(struct condition *c, const struct pg_result *r, size_t row, struct arena *arena)
{
    int64_t labels = pg_get_int(r, row, 1), transactions = pg_get_int(r, row, 2);
    double before = pg_get_float(r, row, 3);

    c->lane = (int32_t)pg_get_int(r, row, 0);
    c->id = arena_printf(arena, "labels/%d", (int)c->lane);
    c->kind = SLICE("labels");
    c->subject = c->lane ? arena_printf(arena, "account %d", (int)c->lane) : SLICE("live accounts");
    c->severity = SEVERITY_WARNING;
    c->value = (double)labels / 2;
    c->threshold = before;
    c->is_raised = labels == 0 && transactions > 0 && before >= LABELS_LEAST;
    c->text = c->is_raised
                  ? arena_printf(arena,
                                 "No label came for two days; before it were %.0f a day. Look at what sends "
                                 "them: until they come nobody knows how good the model is.",
                                 before)
                  : SLICE("Labels come.");
}

/* ---- retraining ---- */

static const char runs_sql[] = "SELECT DISTINCT ON (name) name, run, state = 'failed', message FROM "
                               "training_runs WHERE state IN ('succeeded', "
                               "'failed') ORDER BY name, run DESC";

static void read_run(struct condition *c, const struct pg_result *r, size_t row, struct arena *arena)
{
    struct slice name = row_text(r, row, 0, arena), message = row_text(r, row, 3, arena);

    c->id = arena_printf(arena, "retraining/%.*s", SLICE_ARG(name));
    c->kind = SLICE("retraining");
    c->subject = name;
    c->severity = SEVERITY_WARNING;
    c->is_raised = pg_get_bool(r, row, 2);
    c->text = c->is_raised
                  ? arena_printf(arena,
                                 "Run %" PRId64 " failed: %.*s. `assay retrain --status` has all of it; the "
                                 "champion stays.",
                                 pg_get_int(r, row, 1), SLICE_ARG(message))
                  : SLICE("The last run succeeded.");
}

/* ---- followers ---- */

/* One that has nothing to do does not move either: it is behind since the first entry that waits for it came. On a
 * simulated clock nobody knows when that was. */
static const char followers_sql[] =
    "SELECT f.follower, greatest(l.newest - (f.position->>'n')::int8, 0), extract(epoch FROM now() - "
    "greatest(f.updated_at, w.known_at))::float8 / 60 FROM followers f CROSS JOIN (SELECT coalesce(max(n), "
    "0) AS newest FROM log) l LEFT JOIN LATERAL (SELECT CASE WHEN a.clock = 'live' THEN x.known_at END AS "
    "known_at FROM (SELECT account, known_at FROM log WHERE n > (f.position->>'n')::int8 ORDER BY n LIMIT 1) "
    "x LEFT JOIN accounts a USING (account)) w ON true WHERE jsonb_typeof(f.position->'n') = 'number'";

static void read_follower(struct condition *c, const struct pg_result *r, size_t row, struct arena *arena)
{
    struct slice name = row_text(r, row, 0, arena);
    int64_t behind = pg_get_int(r, row, 1);

    c->id = arena_printf(arena, "behind/%.*s", SLICE_ARG(name));
    c->kind = SLICE("behind");
    c->subject = name;
    c->severity = SEVERITY_WARNING;
    c->value = behind > 0 ? pg_get_float(r, row, 2) : 0;
    c->threshold = BEHIND_MINUTES;
    c->is_raised = c->value > c->threshold;
    c->text = c->is_raised
                  ? arena_printf(arena,
                                 "It has not moved for %.0f minutes, and %" PRId64
                                 " entries of the log wait for it. Does the service run? Look at its log.",
                                 c->value, behind)
                  : SLICE("It keeps up with the log.");
}

/* Nothing is wrong with what is there no more. */
static const char gone_sql[] =
    "UPDATE monitor_conditions SET is_raised = false, since = now(), updated_at = now(), change = "
    "nextval('monitor_condition_changes') WHERE is_raised AND ((kind = 'behind' AND NOT EXISTS (SELECT FROM "
    "followers WHERE condition = 'behind/' || follower)) OR (kind = 'retraining' AND NOT EXISTS (SELECT FROM "
    "training_runs WHERE condition = 'retraining/' || name)))";

enum err upkeep_look(struct pg_session *s, struct why *why)
{
    enum err err = tell_rows(s, labels_sql, read_labels, why);

    if (!err)
        err = tell_rows(s, runs_sql, read_run, why);
    if (!err)
        err = tell_rows(s, followers_sql, read_follower, why);
    return err ? err : row_ask(s, gone_sql, NULL, NULL, why);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <math.h>
#include <stddef.h>

#include "base/array.h"
#include "base/clock.h"
#include "lifestore/row.h"
#include "monitorstore/condition.h"
#include "monitorstore/health.h"

enum { LATE_BEYOND_BIN = 5 }; /* the first bin above an hour */

struct share {
    const char *kind;
    enum severity severity;
    size_t limit; /* in struct state_conf */
    const char *text;
};
#define AT(field) offsetof(struct state_conf, field)
static const struct share shares[] = {
    { "degraded", SEVERITY_CRITICAL, AT(degraded),
      "of decisions were made while a part was missing. Look at `assay status`: which service is down or "
      "slow?" },
    { "unscored", SEVERITY_CRITICAL, AT(unscored),
      "of decisions were made without a score. Look at scoring, and whether a model is champion." },
    { "late", SEVERITY_WARNING, AT(late),
      "of payments became known more than an hour after they happened. Look at what sends them: a queue may "
      "be stuck." },
    { "duplicates", SEVERITY_WARNING, AT(duplicates),
      "of payments equal another one but for the id. A client may retry with new ids instead of the same "
      "one." },
};
enum { DEGRADED, UNSCORED, LATE, DUPLICATES };

static int64_t late_of(const struct health_hour *h)
{
    int64_t sum = 0;

    for (size_t i = LATE_BEYOND_BIN; i < HEALTH_LATE_BINS; i++)
        sum += h->late[i];
    return sum;
}

static enum err tell_share(const struct state_conf *conf, struct pg_session *s, const struct health_hour *sum,
                           size_t which, struct arena *arena, struct why *why)
{
    const struct share *of = &shares[which];
    const double limit = *(const double *)(const void *)((const char *)conf + of->limit);
    const double parts[] = { [DEGRADED] = (double)sum->degraded,
                             [UNSCORED] = (double)sum->unscored,
                             [LATE] = (double)late_of(sum),
                             [DUPLICATES] = (double)sum->duplicates };
    int64_t whole = which == DEGRADED || which == UNSCORED ? sum->decisions : sum->transactions;
    double value = whole ? parts[which] / (double)whole : 0;

    if (whole < STATE_ROWS_LEAST)
        return ERR_OK; /* it stays as it is */
    return condition_report(
        s,
        &(struct condition){ .id = arena_printf(arena, "%s/%d", of->kind, (int)sum->lane),
                             .kind = slice_str(of->kind),
                             .subject = sum->lane ? arena_printf(arena, "account %d", (int)sum->lane)
                                                  : SLICE("live accounts"),
                             .severity = of->severity,
                             .lane = sum->lane,
                             .value = value,
                             .threshold = limit,
                             .text = arena_printf(arena, "%.2f %% %s", 100 * value, of->text),
                             .is_raised = value > limit },
        NULL, why);
}

/* On the live lane known_at is of the server's clock; the last two days are one partition or two. */
static const char silent_sql[] =
    "SELECT extract(epoch FROM now() - l.known_at)::float8 / 60 FROM log l JOIN accounts a USING (account) "
    "WHERE "
    "a.clock = 'live' AND l.kind = 1 AND l.known_at > now() - interval '2 days' ORDER BY l.n DESC LIMIT 1";

static enum err tell_silence(const struct state_conf *conf, struct pg_session *s, struct arena *arena,
                             struct why *why)
{
    int64_t now_us = clock_wall_us();
    struct health_hour *hours, sum;
    struct pg_result *r = NULL;
    double minutes = 0;
    size_t count;
    enum err err = health_read(s, 0, now_us - 2 * DAY_US, now_us, &hours, &count, arena, why);

    if (err)
        return err;
    sum = health_sum(hours, count);
    if (sum.transactions < 2 * DAY_US / MINUTE_US)
        return ERR_OK; /* so few come and go as they please */
    err = row_ask(s, silent_sql, NULL, &r, why);
    if (!err && pg_rows(r))
        minutes = pg_get_float(r, 0, 0);
    pg_result_free(r);
    if (err)
        return err;
    return condition_report(
        s,
        &(struct condition){
            .id = SLICE("silent/0"),
            .kind = SLICE("silent"),
            .subject = SLICE("live accounts"),
            .severity = SEVERITY_CRITICAL,
            .value = minutes,
            .threshold = (double)conf->silent_minutes,
            .text = arena_printf(
                arena, "Nothing came for %.0f minutes. Look at ingestion, and at what calls it.", minutes),
            .is_raised = minutes > (double)conf->silent_minutes },
        NULL, why);
}

/* The lanes that something came of lately, with the hour that is under way there. */
static const char lanes_sql[] = "SELECT lane, max(hour) FROM monitor_health GROUP BY lane";

enum err state_look(const struct state_conf *conf, struct pg_session *s, struct why *why)
{
    struct arena arena = { 0 };
    struct pg_result *r = NULL;
    enum err err = row_ask(s, lanes_sql, NULL, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        int64_t hour_us = pg_get_time_us(r, i, 1);
        struct health_hour *hours, sum;
        size_t count;

        err = health_read(s, (int32_t)pg_get_int(r, i, 0), hour_us - HOUR_US, hour_us + HOUR_US, &hours,
                          &count, &arena, why);
        if (err)
            break;
        sum = health_sum(hours, count);
        for (size_t k = 0; k < ARRAY_LEN(shares) && !err; k++)
            err = tell_share(conf, s, &sum, k, &arena, why);
    }
    pg_result_free(r);
    if (!err)
        err = tell_silence(conf, s, &arena, why);
    arena_release(&arena);
    return err;
}

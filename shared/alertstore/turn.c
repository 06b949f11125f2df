/* SPDX-License-Identifier: Apache-2.0 */
#include "alertstore/turn.h"

#include "alertstore/alert_row.h"
#include "alertstore/outbox.h"
#include "base/array.h"
#include "base/clock.h"
#include "lifestore/row.h"

#define ALERTS_LOCK "7020097461418159716" /* "alertsnd" in ASCII */

enum { OPEN_MOST = 10000, SILENCES_MOST = 1000, TRUE_STEP_S = 30 };

enum err turn_lock(struct pg_session *s, bool *has_it, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = "
                "pg_backend_pid() AND granted AND objsubid = 1 AND ((classid::int8 << 32) | objid::int8) "
                "= " ALERTS_LOCK ") THEN true ELSE pg_try_advisory_lock(" ALERTS_LOCK ") END",
                NULL, &r, why);

    *has_it = !err && pg_get_bool(r, 0, 0);
    pg_result_free(r);
    return err;
}

/* All that is open, and what begins now. */
struct book {
    struct alert *alerts, *before; /* before: as they were read; id 0 for new ones */
    bool *is_forgotten;
    size_t count;
};

static void book_open(struct book *b, const struct alert *open, size_t open_count, size_t room,
                      struct arena *arena)
{
    b->alerts = arena_new(arena, struct alert, open_count + room + 1);
    b->before = arena_new(arena, struct alert, open_count + room + 1);
    b->is_forgotten = arena_new(arena, bool, open_count + room + 1);
    for (size_t i = 0; i < open_count; i++)
        b->alerts[i] = b->before[i] = open[i];
    b->count = open_count;
}

static bool is_same(const struct alert_print *a, const struct alert_print *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool has_alert(const struct book *b, const struct alert_print *print)
{
    for (size_t i = 0; i < b->count; i++)
        if (is_same(&b->alerts[i].print, print))
            return true;
    return false;
}

static const struct alert_condition *condition_of(const struct alert *a, const struct turn *turn,
                                                  const struct alert_print *prints)
{
    for (size_t i = 0; i < turn->condition_count; i++)
        if (turn->conditions[i].is_true && is_same(&prints[i], &a->print))
            return &turn->conditions[i];
    return NULL;
}

static void look(struct book *b, const struct turn *turn, struct arena *arena)
{
    struct alert_print *prints = arena_new(arena, struct alert_print, turn->condition_count + 1);
    size_t open = b->count;

    for (size_t i = 0; i < turn->condition_count; i++)
        prints[i] = alert_print_of(&turn->conditions[i].labels);
    for (size_t i = 0; i < open; i++)
        b->is_forgotten[i] =
            !alert_step(&b->alerts[i], condition_of(&b->alerts[i], turn, prints), &turn->times, turn->now_us);
    for (size_t i = 0; i < turn->condition_count; i++)
        if (turn->conditions[i].is_true && !has_alert(b, &prints[i]))
            b->alerts[b->count++] = alert_begin(&turn->conditions[i], &turn->times, turn->now_us);
}

/* ---- writing ---- */

static bool is_changed(const struct alert *a, const struct alert *before)
{
    return a->id == 0 || a->state != before->state || a->severity != before->severity ||
           !slice_eq(a->text, before->text) || memcmp(&a->value, &before->value, sizeof a->value) != 0 ||
           memcmp(&a->threshold, &before->threshold, sizeof a->threshold) != 0 ||
           a->told_us != before->told_us || a->is_end_told != before->is_end_told ||
           a->is_silenced != before->is_silenced || a->is_inhibited != before->is_inhibited ||
           a->since_us != before->since_us ||
           /* When it was last true is kept to within half a minute. */
           a->true_us < before->true_us || a->true_us - before->true_us >= TRUE_STEP_S * SECOND_US;
}

static enum err put(struct pg_session *s, struct book *b, size_t i, struct turn_result *out, struct why *why)
{
    if (b->is_forgotten[i])
        return alert_row_forget(s, b->alerts[i].id, why);
    if (b->alerts[i].id == 0 || b->alerts[i].state != b->before[i].state)
        out->changes++;
    return is_changed(&b->alerts[i], &b->before[i]) ? alert_row_put(s, &b->alerts[i], why) : ERR_OK;
}

static enum err tell(struct pg_session *s, const struct notice *notices, size_t count,
                     const struct turn *turn, struct turn_result *out, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < count && !err; i++) {
        size_t written = 0;

        err = outbox_add(s, &notices[i], turn->source, turn->now_us, &written, why);
        out->messages += written;
    }
    out->notices = count;
    return err;
}

static void count_all(const struct book *b, struct turn_result *out)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct alert *a = &b->alerts[i];

        out->pending += a->state == ALERT_PENDING && !b->is_forgotten[i];
        if (a->state == ALERT_FIRING) {
            out->firing[a->severity]++;
            out->silenced += a->is_silenced;
        }
    }
}

static enum err take(struct pg_session *s, const struct turn *turn, struct turn_result *out,
                     struct arena *arena, struct why *why)
{
    struct alert *open = NULL;
    struct silence *silences = NULL;
    struct notice *notices = NULL;
    struct book book = { 0 };
    size_t open_count, silence_count = 0, notice_count = 0;
    enum err err = alert_row_list(s, &(struct alert_filter){ .is_open = true, .most = OPEN_MOST }, &open,
                                  &open_count, arena, why);

    if (!err)
        err = silence_row_list(s, turn->now_us, SILENCES_MOST, &silences, &silence_count, arena, why);
    if (err)
        return err;
    book_open(&book, open, open_count, turn->condition_count, arena);
    look(&book, turn, arena);
    notices_make(book.alerts, book.count, silences, silence_count, turn->inhibitions, turn->inhibition_count,
                 &turn->times, turn->now_us, &notices, &notice_count, arena);
    for (size_t i = 0; i < book.count && !err; i++)
        err = put(s, &book, i, out, why);
    if (!err)
        err = tell(s, notices, notice_count, turn, out, why); /* after the numbers are known */
    count_all(&book, out);
    return err;
}

enum err turn_take(struct pg_session *s, const struct turn *turn, struct turn_result *out, struct why *why)
{
    struct arena arena = { 0 };
    enum err err = pg_exec_script(s, "BEGIN", why);

    *out = (struct turn_result){ 0 };
    if (err)
        return err;
    err = take(s, turn, out, &arena, why);
    err = pg_commit_or_abort(s, err, why);
    arena_release(&arena);
    return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "again.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

enum { SHOWN_MAX = 10 };

static void tell(const struct past *p, const struct replay *r)
{
    fprintf(stderr, "%.*s (model %.*s, rule set %.*s): %s\n", SLICE_ARG(p->id), SLICE_ARG(p->model_version),
            SLICE_ARG(p->ruleset_version), replay_outcome_name(r->outcome));
    for (int i = 0; i < REPLAY_STEP_COUNT; i++)
        if (r->steps[i] == REPLAY_LOST)
            fprintf(stderr, "  %s: %.*s\n", replay_step_name((enum replay_step)i), SLICE_ARG(r->notes[i]));
    for (size_t i = 0; i < r->difference_count && i < REPLAY_DIFFERENCES_MAX; i++) {
        const struct replay_difference *d = &r->differences[i];

        fprintf(stderr, "  %s %.*s: stored %.*s, computed %.*s\n", replay_step_name(d->step),
                SLICE_ARG(d->field), SLICE_ARG(d->stored), SLICE_ARG(d->computed));
    }
}

/* Those of one model and rule set follow each other. */
static void count_makers(struct again_counts *c, const struct past *p, struct buf *model, struct buf *ruleset)
{
    bool is_model_new = !c->models || !slice_eq(buf_slice(model), p->model_version);

    c->models += is_model_new;
    c->rulesets += is_model_new || !slice_eq(buf_slice(ruleset), p->ruleset_version);
    buf_clear(model);
    buf_clear(ruleset);
    buf_add_slice(model, p->model_version);
    buf_add_slice(ruleset, p->ruleset_version);
}

static enum err replay_one(struct again_counts *c, struct shelf *shelf, struct pg_session *s,
                           const struct replay_sample *sample, struct buf made_by[2], struct arena *arena,
                           struct why *why)
{
    struct past past;
    struct replay replay;
    enum err err = past_read(&past, s, sample->account, sample->id, arena, why);

    if (err == ERR_SYNTAX || err == ERR_NOT_FOUND) {
        if (c->unreadable++ < SHOWN_MAX)
            fprintf(stderr, "%.*s: %s\n", SLICE_ARG(sample->id), why->text);
        return ERR_OK;
    }
    if (!err)
        err = replay_decision(&replay, shelf, s, &past, arena, why);
    if (err)
        return err;
    count_makers(c, &past, &made_by[0], &made_by[1]);
    c->outcomes[replay.outcome]++;
    c->degraded += past.record->n_degraded > 0;
    c->lagging += replay.lists_lag_us > 0;
    if ((replay.outcome == REPLAY_DIFFERS || replay.outcome == REPLAY_LOST) &&
        c->outcomes[REPLAY_DIFFERS] + c->outcomes[REPLAY_LOST] <= SHOWN_MAX)
        tell(&past, &replay);
    return ERR_OK;
}

enum err again_run(struct again_counts *c, struct pg_session *s, int64_t count, int64_t seed, struct why *why)
{
    struct shelf *shelf = shelf_new();
    struct arena kept = { 0 }, arena = { 0 };
    struct replay_sample *samples;
    struct buf made_by[2];
    int64_t began = clock_mono_us();
    size_t drawn = 0;
    enum err err = shelf_look_at_lists(shelf, s, why);

    *c = (struct again_counts){ 0 };
    buf_init(&made_by[0], 0);
    buf_init(&made_by[1], 0);
    if (!err)
        err = replay_draw(s, count, seed, &kept, &samples, &drawn, why);
    for (size_t i = 0; i < drawn && !err; i++) {
        err = replay_one(c, shelf, s, &samples[i], made_by, &arena, why);
        arena_reset(&arena);
    }
    c->drawn = (int64_t)drawn;
    c->seconds = (double)(clock_mono_us() - began) / SECOND_US;
    buf_release(&made_by[0]);
    buf_release(&made_by[1]);
    arena_release(&kept);
    arena_release(&arena);
    shelf_free(shelf);
    return err;
}

bool again_is_good(const struct again_counts *c)
{
    return c->outcomes[REPLAY_DIFFERS] == 0 && c->outcomes[REPLAY_LOST] == 0 && c->unreadable == 0;
}

void again_print(const struct again_counts *c)
{
    printf("%12" PRId64 "  random decisions made again in %.1f s, of %" PRId64 " models and %" PRId64
           " pairs of model and rule set\n",
           c->drawn, c->seconds, c->models, c->rulesets);
    printf("%12" PRId64 "  of them match bit for bit\n", c->outcomes[REPLAY_MATCHES]);
    printf("%12" PRId64
           "  match, but for what was taken as it is stored (the online model's score, the control "
           "slice's draw)\n",
           c->outcomes[REPLAY_AS_STORED]);
    printf("%12" PRId64 "  differ%s\n", c->outcomes[REPLAY_DIFFERS],
           c->outcomes[REPLAY_DIFFERS] ? "   <-- must be 0" : "");
    printf("%12" PRId64 "  cannot be made again%s\n", c->outcomes[REPLAY_LOST] + c->unreadable,
           c->outcomes[REPLAY_LOST] + c->unreadable ? "   <-- must be 0" : "");
    printf("%12" PRId64 "  of them were degraded, %" PRId64
           " decided before a change of a list had reached the process\n",
           c->degraded, c->lagging);
}

json_t *again_json(const struct again_counts *c)
{
    return json_pack("{sI sI sI sI sI sI sI sI sI sI sf}", "drawn", (json_int_t)c->drawn, "unreadable",
                     (json_int_t)c->unreadable, "matches", (json_int_t)c->outcomes[REPLAY_MATCHES],
                     "as_stored", (json_int_t)c->outcomes[REPLAY_AS_STORED], "differs",
                     (json_int_t)c->outcomes[REPLAY_DIFFERS], "lost", (json_int_t)c->outcomes[REPLAY_LOST],
                     "degraded", (json_int_t)c->degraded, "lagging", (json_int_t)c->lagging, "models",
                     (json_int_t)c->models, "makers", (json_int_t)c->rulesets, "seconds", c->seconds);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fallback.h"

#include "base/mem.h"
#include "ingestion.h"

struct fallback {
    struct ingestion *in;
};

struct fallback *fallback_new(struct ingestion *in)
{
    struct fallback *f = mem_new(struct fallback);

    f->in = in;
    return f;
}

void fallback_free(struct fallback *f)
{
    mem_free(f);
}

static enum action by_thresholds(const struct decision *d)
{
    const Assay__V1__Thresholds *t = d->record.thresholds;

    if (!d->has_score || !t)
        return ACTION_APPROVE;
    return d->score >= t->decline     ? ACTION_DECLINE
           : d->score >= t->review    ? ACTION_REVIEW
           : d->score >= t->challenge ? ACTION_CHALLENGE
                                      : ACTION_APPROVE;
}

void fallback_decide(struct fallback *f, struct job *job)
{
    struct decision *d = &job->decision;

    (void)f;
    d->action = by_thresholds(d);
    d->ruleset_version = slice_of("", 0);
    if (d->action != ACTION_APPROVE) {
        Assay__V1__Reason *r = arena_new(&job->arena, Assay__V1__Reason, 1);

        assay__v1__reason__init(r);
        r->code =
            arena_printf(&job->arena, "threshold:%s", action_name(d->action)).ptr
                ? (char *)(uintptr_t)arena_printf(&job->arena, "threshold:%s", action_name(d->action)).ptr
                : NULL;
        r->text = (char *)(uintptr_t) "The risk score is high";
        r->detail = (char *)(uintptr_t)arena_printf(&job->arena, "score=%g", d->score).ptr;
        r->is_public = true;
        d->record.n_reasons = 1;
        d->record.reasons = arena_new(&job->arena, Assay__V1__Reason *, 1);
        d->record.reasons[0] = r;
    }
}

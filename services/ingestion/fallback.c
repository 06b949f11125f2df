/* SPDX-License-Identifier: Apache-2.0 */
#include "fallback.h"

#include "base/mem.h"
#include "fraud/txn.h"
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

static Assay__V1__Action by_thresholds(const Assay__V1__DecideRequest__Item *item)
{
    const Assay__V1__Thresholds *t = item->thresholds;

    if (!item->has_score || !t)
        return ASSAY__V1__ACTION__APPROVE;
    return item->score >= t->decline     ? ASSAY__V1__ACTION__DECLINE
           : item->score >= t->review    ? ASSAY__V1__ACTION__REVIEW
           : item->score >= t->challenge ? ASSAY__V1__ACTION__CHALLENGE
                                         : ASSAY__V1__ACTION__APPROVE;
}

const Assay__V1__DecideResponse *fallback_decide(struct fallback *f, const Assay__V1__DecideRequest *request,
                                                 struct arena *arena)
{
    Assay__V1__DecideResponse *answer = arena_new(arena, Assay__V1__DecideResponse, 1);

    (void)f;
    assay__v1__decide_response__init(answer);
    answer->n_items = request->n_items;
    answer->items = arena_new(arena, Assay__V1__DecideResponse__Item *, request->n_items);
    for (size_t i = 0; i < request->n_items; i++) {
        answer->items[i] = arena_new(arena, Assay__V1__DecideResponse__Item, 1);
        assay__v1__decide_response__item__init(answer->items[i]);
        answer->items[i]->action = by_thresholds(request->items[i]);
    }
    return answer;
}

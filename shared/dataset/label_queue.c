/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset/label_queue.h"

#include "base/array.h"

void label_queue_release(struct label_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        mem_free((char *)q->heap[i].label.transaction_id.ptr);
    mem_free(q->heap);
    mem_free(q->last_id);
    *q = (struct label_queue){ 0 };
}

static bool is_before(const struct label_due *a, const struct label_due *b)
{
    if (a->label.known_at_us != b->label.known_at_us)
        return a->label.known_at_us < b->label.known_at_us;
    return a->order < b->order;
}

void label_queue_put(struct label_queue *q, const struct label *label)
{
    struct label_due due = { .label = *label, .order = q->put++ };
    size_t at = q->count;

    due.label.transaction_id.ptr = mem_strndup(label->transaction_id.ptr, label->transaction_id.len);
    ARRAY_RESERVE_ONE(q->heap, q->count, q->cap);
    q->count++;
    for (; at && is_before(&due, &q->heap[(at - 1) / 2]); at = (at - 1) / 2)
        q->heap[at] = q->heap[(at - 1) / 2];
    q->heap[at] = due;
}

const struct label *label_queue_first(const struct label_queue *q)
{
    return q->count ? &q->heap[0].label : NULL;
}

struct label label_queue_take(struct label_queue *q)
{
    struct label first = q->heap[0].label;
    struct label_due moved = q->heap[--q->count];
    size_t at = 0;

    mem_free(q->last_id);
    q->last_id = (char *)first.transaction_id.ptr;
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= q->count)
            break;
        if (child + 1 < q->count && is_before(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (!is_before(&q->heap[child], &moved))
            break;
        q->heap[at] = q->heap[child];
        at = child;
    }
    if (q->count)
        q->heap[at] = moved;
    return first;
}

/* SPDX-License-Identifier: Apache-2.0
 * alarms.c - see verdict.h: how often running a test was beyond, or was not while its alarm is on. */
#include "base/mem.h"
#include "base/varint.h"
#include "drift/verdict.h"

enum { VERSION = 1 };

struct drift_alarms {
    const struct drift_layout *layout;
    size_t count; /* subjects * tests */
    struct run {
        uint8_t windows; /* running, that speak against the present state */
        bool is_on;
    } * runs;
};

struct drift_alarms *drift_alarms_new(const struct drift_layout *layout)
{
    struct drift_alarms *a = mem_new(struct drift_alarms);

    a->layout = layout;
    a->count = drift_layout_subjects(layout) * DRIFT_TEST_COUNT;
    a->runs = mem_new_n(struct run, a->count + 1);
    return a;
}

void drift_alarms_free(struct drift_alarms *alarms)
{
    if (!alarms)
        return;
    mem_free(alarms->runs);
    mem_free(alarms);
}

size_t drift_alarms_step(struct drift_alarms *alarms, const struct drift_verdict *verdicts, unsigned windows,
                         struct drift_alarm *out)
{
    size_t changed = 0;

    for (size_t i = 0; i < alarms->count; i++) {
        size_t subject = i / DRIFT_TEST_COUNT, test = i % DRIFT_TEST_COUNT;
        const struct drift_finding *f = &verdicts[subject].tests[test];
        struct run *run = &alarms->runs[i];

        if (!f->is_tested)
            continue;
        run->windows = f->is_beyond == run->is_on ? 0 : (uint8_t)(run->windows + 1);
        if (run->windows < windows)
            continue;
        run->is_on = !run->is_on;
        run->windows = 0;
        out[changed++] = (struct drift_alarm){ subject, (enum drift_test)test,
                                               run->is_on ? DRIFT_RAISED : DRIFT_RESOLVED };
    }
    return changed;
}

bool drift_alarms_is_on(const struct drift_alarms *alarms, size_t subject, enum drift_test test)
{
    return alarms->runs[subject * DRIFT_TEST_COUNT + test].is_on;
}

void drift_alarms_pack(const struct drift_alarms *alarms, struct buf *out)
{
    uint64_t *numbers = mem_new_n(uint64_t, alarms->count + 1);

    for (size_t i = 0; i < alarms->count; i++)
        numbers[i] = (uint64_t)alarms->runs[i].windows << 1 | alarms->runs[i].is_on;
    varint_add(out, VERSION);
    varint_add(out, drift_layout_id(alarms->layout));
    varint_add_counts(out, numbers, alarms->count);
    mem_free(numbers);
}

enum err drift_alarms_open(struct drift_alarms **out, const struct drift_layout *layout, struct slice bytes,
                           struct why *why)
{
    struct drift_alarms *a = drift_alarms_new(layout);
    uint64_t *numbers = mem_new_n(uint64_t, a->count + 1), id;
    struct varint_reader r = { .rest = bytes };
    enum err err = ERR_OK;

    *out = NULL;
    if (varint_read(&r) != VERSION)
        r.is_bad = true;
    id = varint_read(&r);
    if (!r.is_bad && id != drift_layout_id(layout)) {
        err = err_set(why, ERR_INVALID, "alarms of layout %016llx; they are wanted of %016llx",
                      (unsigned long long)id, (unsigned long long)drift_layout_id(layout));
        goto out;
    }
    varint_read_counts(&r, numbers, a->count, UINT8_MAX << 1 | 1);
    if (!varint_is_done(&r)) {
        err = err_set(why, ERR_SYNTAX, "these are no packed alarms, or they are damaged");
        goto out;
    }
    for (size_t i = 0; i < a->count; i++)
        a->runs[i] = (struct run){ (uint8_t)(numbers[i] >> 1), numbers[i] & 1 };
    *out = a;
    a = NULL;
out:
    drift_alarms_free(a);
    mem_free(numbers);
    return err;
}

/* SPDX-License-Identifier: Apache-2.0
 * health.c - see health.h. */
#include "drift/health.h"

#include <math.h>

#include "base/array.h"
#include "base/varint.h"

#define SECOND INT64_C(1000000)
enum { VERSION = 1 };

const int64_t drift_lateness_ends_us[DRIFT_LATENESS_BINS - 1] = {
    SECOND,        10 * SECOND,       60 * SECOND,    300 * SECOND,       900 * SECOND,
    3600 * SECOND, 6 * 3600 * SECOND, 86400 * SECOND, 7 * 86400 * SECOND,
};

static const size_t places[] = {
#define PLACE(name, meaning) offsetof(struct drift_health, name),
    DRIFT_HEALTH_LIST(PLACE)
#undef PLACE
};

static uint64_t *count_at(struct drift_health *h, size_t i)
{
    return (uint64_t *)(void *)((char *)h + places[i]);
}

void drift_health_init(struct drift_health *h)
{
    *h = (struct drift_health){ .first_us = INT64_MAX, .last_us = INT64_MIN };
}

void drift_health_decision(struct drift_health *h, int64_t at_us, int64_t occurred_at_us, int64_t known_at_us,
                           bool is_degraded, bool is_scored)
{
    size_t bin = 0;

    while (bin < ARRAY_LEN(drift_lateness_ends_us) &&
           known_at_us - occurred_at_us >= drift_lateness_ends_us[bin])
        bin++;
    h->lateness[bin]++;
    h->decisions++;
    h->degraded += is_degraded;
    h->unscored += !is_scored;
    h->first_us = at_us < h->first_us ? at_us : h->first_us;
    h->last_us = at_us > h->last_us ? at_us : h->last_us;
}

void drift_health_merge(struct drift_health *sum, const struct drift_health *more)
{
    struct drift_health m = *more;

    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        *count_at(sum, i) += *count_at(&m, i);
    for (size_t i = 0; i < DRIFT_LATENESS_BINS; i++)
        sum->lateness[i] += more->lateness[i];
    sum->first_us = more->first_us < sum->first_us ? more->first_us : sum->first_us;
    sum->last_us = more->last_us > sum->last_us ? more->last_us : sum->last_us;
}

double drift_health_rate(const struct drift_health *h)
{
    if (h->decisions < 2 || h->last_us <= h->first_us)
        return NAN;
    return (double)(h->decisions - 1) / ((double)(h->last_us - h->first_us) / (double)SECOND);
}

int64_t drift_health_lateness_us(const struct drift_health *h, double share)
{
    uint64_t all = 0, below = 0;

    for (size_t i = 0; i < DRIFT_LATENESS_BINS; i++)
        all += h->lateness[i];
    for (size_t i = 0; i < DRIFT_LATENESS_BINS && all > 0; i++) {
        below += h->lateness[i];
        if ((double)below >= share * (double)all)
            return i < ARRAY_LEN(drift_lateness_ends_us) ? drift_lateness_ends_us[i] : INT64_MAX;
    }
    return 0;
}

double drift_share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

void drift_health_pack(const struct drift_health *h, struct buf *out)
{
    struct drift_health packed = *h;

    varint_add(out, VERSION);
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        varint_add(out, *count_at(&packed, i));
    varint_add_counts(out, h->lateness, DRIFT_LATENESS_BINS);
    varint_add_signed(out, h->first_us);
    varint_add_signed(out, h->last_us);
}

enum err drift_health_open(struct drift_health *h, struct slice bytes, struct why *why)
{
    struct varint_reader r = { .rest = bytes };
    struct drift_health read;

    drift_health_init(&read);
    if (varint_read(&r) != VERSION)
        r.is_bad = true;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        *count_at(&read, i) = varint_read(&r);
    varint_read_counts(&r, read.lateness, DRIFT_LATENESS_BINS, UINT64_MAX);
    read.first_us = varint_read_signed(&r);
    read.last_us = varint_read_signed(&r);
    if (!varint_is_done(&r))
        return err_set(why, ERR_SYNTAX, "this is no packed data health, or it is damaged");
    *h = read;
    return ERR_OK;
}

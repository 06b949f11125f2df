/* SPDX-License-Identifier: Apache-2.0
 * bucket.h - a token bucket: so many at once, so many a second. No clock of its own. */
#ifndef ASSAY_INGESTION_BUCKET_H
#define ASSAY_INGESTION_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    int64_t rate_per_s; /* 0: no limit */
    int64_t burst;      /* tokens when full; at least 1 with a limit */
    int64_t tokens_e6;  /* millionths of a token */
    int64_t filled_mono_us;
};

/* Full. A burst of 0 is one second's worth. */
void bucket_init(struct bucket *b, int64_t rate_per_s, int64_t burst, int64_t now_mono_us);
/* Changes the limits and keeps what is in it, as far as it fits. */
void bucket_set(struct bucket *b, int64_t rate_per_s, int64_t burst);
/* Takes `tokens` when they are there; more than the burst are there when it is full (it then owes the rest).
 */
bool bucket_take(struct bucket *b, int64_t tokens, int64_t now_mono_us);
int64_t bucket_left(const struct bucket *b);
/* Whole seconds, rounded up, until it is full, or until so many tokens can be taken. */
int64_t bucket_full_in_s(const struct bucket *b);
int64_t bucket_next_in_s(const struct bucket *b, int64_t tokens);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"

enum { TOKEN_E6 = 1000000 };

void bucket_init(struct bucket *b, int64_t rate_per_s, int64_t burst, int64_t now_mono_us)
{
    *b = (struct bucket){ .filled_mono_us = now_mono_us };
    bucket_set(b, rate_per_s, burst);
    b->tokens_e6 = b->burst * TOKEN_E6;
}

void bucket_set(struct bucket *b, int64_t rate_per_s, int64_t burst)
{
    b->rate_per_s = rate_per_s;
    b->burst = rate_per_s == 0 ? 0 : burst > 0 ? burst : rate_per_s;
    if (b->tokens_e6 > b->burst * TOKEN_E6)
        b->tokens_e6 = b->burst * TOKEN_E6;
}

bool bucket_take(struct bucket *b, int64_t tokens, int64_t now_mono_us)
{
    int64_t full_e6 = b->burst * TOKEN_E6, passed_us = now_mono_us - b->filled_mono_us, missing_e6;

    if (b->rate_per_s == 0)
        return true;
    if (passed_us > 0) {
        /* One microsecond at rate r brings r millionths. */
        missing_e6 = full_e6 - b->tokens_e6;
        b->tokens_e6 =
            passed_us >= missing_e6 / b->rate_per_s + 1 ? full_e6 : b->tokens_e6 + passed_us * b->rate_per_s;
        b->filled_mono_us = now_mono_us;
    }
    if (b->tokens_e6 < tokens * TOKEN_E6 && b->tokens_e6 < full_e6)
        return false;
    b->tokens_e6 -= tokens * TOKEN_E6;
    return true;
}

int64_t bucket_left(const struct bucket *b)
{
    return b->tokens_e6 > 0 ? b->tokens_e6 / TOKEN_E6 : 0;
}

static int64_t seconds_until(const struct bucket *b, int64_t tokens_e6)
{
    int64_t missing_e6 = tokens_e6 - b->tokens_e6, per_second_e6 = b->rate_per_s * TOKEN_E6;

    return missing_e6 <= 0 || per_second_e6 == 0 ? 0 : (missing_e6 + per_second_e6 - 1) / per_second_e6;
}

int64_t bucket_full_in_s(const struct bucket *b)
{
    return seconds_until(b, b->burst * TOKEN_E6);
}

int64_t bucket_next_in_s(const struct bucket *b, int64_t tokens)
{
    return seconds_until(b, (tokens < b->burst ? tokens : b->burst) * TOKEN_E6);
}

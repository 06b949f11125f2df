/* SPDX-License-Identifier: Apache-2.0
 * chance.h - numbers from a seed, and how a program that cannot go on ends. */
#ifndef ASSAY_CHAOS_CHANCE_H
#define ASSAY_CHAOS_CHANCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
    uint64_t z = c->state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64, Steele et al. 2014 */

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline uint64_t chance_below(struct chance *c, uint64_t most)
{
    return chance_next(c) % most;
}

static inline int64_t chance_between(struct chance *c, int64_t least, int64_t most)
{
    return least + (int64_t)chance_below(c, (uint64_t)(most - least + 1));
}

static inline _Noreturn void die(const char *what, const char *detail)
{
    fprintf(stderr, "chaos: %s: %s\n", what, detail);
    exit(2);
}

#endif

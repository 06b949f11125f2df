/* SPDX-License-Identifier: Apache-2.0
 * memory.h - inside backteststore/: what rules said of chunks, kept beside them; for several threads.
 *
 * Without a directory it is in memory alone, for one thread, and begins anew when it has MEMORY_BYTES_MOST. */
#ifndef ASSAY_BACKTESTSTORE_MEMORY_H
#define ASSAY_BACKTESTSTORE_MEMORY_H

#include "backtest/backtest.h"
#include "backteststore/archive.h"

enum { MEMORY_BYTES_MOST = 64 << 20 };

struct memory;

/* The history must outlive it. `directory` NULL: nothing is written. */
struct memory *memory_open(const char *directory, const struct archive *history);
/* Writes what is new, and removes what was written first when there are too many. */
void memory_close(struct memory *m);
struct backtest_memory memory_calls(struct memory *m);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * layout.h - which processes an installation on one machine has, on which ports, and how they find each
 * other. */
#ifndef ASSAY_CLI_LAYOUT_H
#define ASSAY_CLI_LAYOUT_H

#include <stdbool.h>

#include "base/arena.h"
#include "supervisor.h"

struct layout_wish {
    const char *home;
    const char *pg_url;  /* NULL or empty: a private cluster in home */
    int64_t ingestion;   /* how many of them */
    bool has_standby;    /* a second `features`, which takes over when the first is gone */
    bool has_tls;        /* with the certificates in home */
    bool has_free_ports; /* whatever is free instead of the settings or 8080, 9001, ... */
};

/* Fills `plan`, which lives in `arena`. Programs are those beside this one; settings that are in the
 * environment already are kept.
 *   ERR_NOT_FOUND  a program is missing beside this one
 *   ERR_INVALID    a wish or a setting that cannot be fulfilled */
MUST_USE enum err layout_make(struct plan *plan, const struct layout_wish *wish, struct arena *arena,
                              struct why *why);

#endif

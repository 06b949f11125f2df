/* SPDX-License-Identifier: Apache-2.0
 * audit.h - the audit trail, and the chain of hashes over it (migrations/0018_people.sql).
 *
 * A chain shows that nothing was changed, removed or put in between by who does not compute the whole chain anew. Who
 * can write to every table could; so the head's hash belongs somewhere else too: `assay audit verify` prints it.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_AUDITSTORE_AUDIT_H
#define ASSAY_AUDITSTORE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "json/json_out.h"
#include "pg/session.h"

struct audit_row {
    int64_t id, link; /* link 0: not in the chain */
    int64_t at_us;
    struct slice account, actor, action, subject;
    struct slice detail; /* JSON */
};

struct audit_filter {
    int64_t before; /* only older ones by id; 0: from the newest */
    struct slice actor, action,
        subject; /* equal to; an action may end in ".": all that begin so; empty: any */
    size_t most;
};

/* The newest first, in the arena. */
MUST_USE enum err audit_list(struct pg_session *s, const struct audit_filter *filter, struct audit_row **out,
                             size_t *count, struct arena *arena, struct why *why);
void audit_row_write(struct json_out *o, const char *key, const struct audit_row *row);

struct audit_check {
    int64_t rows;
    bool is_whole;
    int64_t broken_link, broken_id; /* the first that does not fit; id 0: a row that is gone */
    struct why trouble;
    char head[65]; /* hex */
};

/* Computes every link again. ERR_OK also when the chain is broken: check->is_whole says so. */
MUST_USE enum err audit_verify(struct pg_session *s, struct audit_check *check, struct why *why);

#endif

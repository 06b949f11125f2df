/* SPDX-License-Identifier: Apache-2.0
 * certs.h - the directory in which `assay certs` keeps an authority and what it signs.
 *
 *   DIR/authority/ca.pem         the authority with its key: for `assay certs` alone, never near a service
 *   DIR/authority/previous.pem   the one before (without key), while both are trusted
 *   DIR/ca.pem                   whom to trust
 *   DIR/NAME/tls.pem             certificate and key of NAME
 *   DIR/NAME/ca.pem              the same as DIR/ca.pem: a service needs its own directory and no other
 *
 * Mount directories into containers, not files: a mounted file does not follow when it is replaced. */
#ifndef ASSAY_CLI_CERTS_H
#define ASSAY_CLI_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "issue.h"

enum { CERTS_MAX = 64, CERTS_SETTLE_S = 5 };

struct certs_wish {
    int64_t days, authority_days;
    const char *hosts; /* beside the service's name, localhost, 127.0.0.1 and ::1; "" or NULL: none more */
};

extern const struct certs_wish certs_usual; /* a year, ten for the authority, no more hosts */

/* Is told of each file that was written. */
typedef void certs_told_fn(const char *path, const struct issued *what);

/* Makes what is missing: the directory, the authority, a leaf for each service, for the edge and for the
 * operator. What is there stays as it is. */
MUST_USE enum err certs_init(const char *dir, const struct certs_wish *wish, certs_told_fn *told,
                             struct why *why);
/* A leaf for another caller; `is_server` when it is also to be called.
 *   ERR_CONFLICT  there is one   ERR_INVALID  no name for a directory */
MUST_USE enum err certs_issue(const char *dir, const char *name, bool is_server,
                              const struct certs_wish *wish, certs_told_fn *told, struct why *why);
/* New leaves and keys for all, with the hosts that they had and those of the wish. Waits until a new authority
 * has been told of for CERTS_SETTLE_S, so that whoever looks each second trusts it. */
MUST_USE enum err certs_rotate(const char *dir, const struct certs_wish *wish, certs_told_fn *told,
                               struct why *why);
/* A new authority, trusted beside the one before; leaves stay.
 *   ERR_CONFLICT  the one before that is still trusted */
MUST_USE enum err certs_rotate_authority(const char *dir, const struct certs_wish *wish, certs_told_fn *told,
                                         struct why *why);
/* The authority before is no longer trusted. Waits in the same way until new leaves have been read.
 *   ERR_CONFLICT  a leaf is still of it   ERR_NOT_FOUND  there is none */
MUST_USE enum err certs_forget_previous(const char *dir, certs_told_fn *told, struct why *why);

struct certs_row {
    char path[512];
    struct issued *issued; /* NULL: it cannot be read */
    struct why fault;      /* that, or what is wrong with it */
    bool is_authority, is_previous;
};
struct certs_rows {
    struct certs_row rows[CERTS_MAX];
    size_t count;
    bool has_previous;
};
/*   ERR_NOT_FOUND  no authority was made there */
MUST_USE enum err certs_look(const char *dir, struct certs_rows *out, struct why *why);
void certs_rows_release(struct certs_rows *rows);

#endif

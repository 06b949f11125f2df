/* SPDX-License-Identifier: Apache-2.0
 * issue.h - makes keys (EC P-256) and the certificates for them, and keeps both in one PEM file.
 *
 * Who reads such a file while it is replaced sees the old pair or the new one, never a mixed one. */
#ifndef ASSAY_CLI_ISSUE_H
#define ASSAY_CLI_ISSUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct issued; /* a certificate, and its key when it was there */

/* An authority that signs leaves and nothing else. `name` should be its own: no two authorities share one. */
MUST_USE enum err issue_authority(struct issued **out, const char *name, int64_t days, struct why *why);

struct leaf_wish {
    const char *name;  /* common name: who it is */
    const char *hosts; /* names and numeric addresses that a server is reached by, commas between */
    int64_t days;      /* cut to the authority's */
    bool is_server, is_client;
};
/*   ERR_INVALID  a host is neither a name nor an address, or the authority has no key or is out of date */
MUST_USE enum err issue_leaf(struct issued **out, const struct issued *authority,
                             const struct leaf_wish *wish, struct why *why);
void issued_free(struct issued *i);

/*   ERR_NOT_FOUND  no such file   ERR_INVALID  no certificate in it, or the key is another's */
MUST_USE enum err issued_read(struct issued **out, const char *path, struct why *why);
/* Whole or not at all. With its key the file is its owner's only (0600), who is that of its directory when
 * root writes it. */
MUST_USE enum err issued_write(const struct issued *i, bool with_key, const char *path, struct why *why);
/* The certificate in PEM. */
void issued_add_pem(const struct issued *i, struct buf *out);
/* A file of certificates, readable by all; replaced as above, and only when it differs. */
MUST_USE enum err bundle_write(const char *path, struct slice pem, struct why *why);

const char *issued_name(const struct issued *i);
const char *issued_issuer(const struct issued *i);
/* What leaf_wish.hosts was. */
const char *issued_hosts(const struct issued *i);
int64_t issued_ends_us(const struct issued *i);
bool issued_is_by(const struct issued *i, const struct issued *authority);
bool issued_has_same_key(const struct issued *a, const struct issued *b);
bool issued_is_server(const struct issued *i);
bool issued_is_client(const struct issued *i);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/wire.h"

#include <string.h>

#include "base/array.h"

/* The longest prefix first: 25006 and 57014 differ from the rest of their classes. */
static const struct {
    const char *prefix;
    enum err err;
} classes[] = {
    { "25006", ERR_UNAVAILABLE }, /* a server that became a read-only standby */
    { "57014", ERR_TIMEOUT },     /* query_canceled: statement_timeout or an operator */
    { "08", ERR_UNAVAILABLE },    /* connection */
    { "22", ERR_INVALID },        /* data */
    { "23", ERR_INVALID },        /* integrity constraint */
    { "40", ERR_UNAVAILABLE },    /* rolled back: serialization, deadlock */
    { "53", ERR_UNAVAILABLE },    /* resources: disk, memory, connections */
    { "54", ERR_INVALID },        /* program limit: a row too large */
    { "55", ERR_UNAVAILABLE },    /* object in use, lock not available */
    { "57", ERR_UNAVAILABLE },    /* operator: shutdown, crash, starting up */
};

enum err pg_err_of_sqlstate(const char *sqlstate)
{
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
            return classes[i].err;
    return ERR_INTERNAL;
}

enum err pg_err_set(struct why *why, enum err err, const char *context, const char *message)
{
    size_t len = message ? strcspn(message, "\n") : 0;

    if (len == 0)
        return err_set(why, err, "%s: the connection ended", context);
    return err_set(why, err, "%s: %.*s", context, (int)len, message);
}

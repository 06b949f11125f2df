/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

#include "base/mem.h"
#include "lifestore/row.h"

void lanes_release(struct lanes *l)
{
    mem_free(l->simulated);
    *l = (struct lanes){ 0 };
}

enum err lanes_know(struct lanes *l, struct pg_session *s, uint32_t account, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err;

    if (account <= l->known)
        return ERR_OK;
    err = row_ask(s, "SELECT account, clock = 'simulated' FROM accounts ORDER BY account", NULL, &r, why);
    if (!err) {
        lanes_release(l);
        l->simulated = mem_new_n(uint32_t, pg_rows(r) + 1);
        l->known = account;
        for (size_t i = 0; i < pg_rows(r); i++) {
            l->known = (uint32_t)pg_get_int(r, i, 0) > l->known ? (uint32_t)pg_get_int(r, i, 0) : l->known;
            if (pg_get_bool(r, i, 1))
                l->simulated[l->count++] = (uint32_t)pg_get_int(r, i, 0);
        }
    }
    pg_result_free(r);
    return err;
}

int32_t lanes_of(const struct lanes *l, uint32_t account)
{
    size_t from = 0, until = l->count;

    while (from < until) {
        size_t middle = from + (until - from) / 2;

        if (l->simulated[middle] < account)
            from = middle + 1;
        else
            until = middle;
    }
    return from < l->count && l->simulated[from] == account ? (int32_t)account : 0;
}

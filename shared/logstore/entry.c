/* SPDX-License-Identifier: Apache-2.0 */
#include "logstore/entry.h"

#include "proto/txn_proto.h"

enum err entry_open(union entry_body *body, const struct entry *e, struct arena *arena, struct why *why)
{
    switch (e->kind) {
    case ENTRY_TXN:
        return txn_unpack(&body->txn, e->body, arena, why);
    case ENTRY_LABEL:
        return label_unpack(&body->label, e->body, arena, why);
    case ENTRY_PLAN:
        body->plan = e->body;
        return ERR_OK;
    }
    return err_set(why, ERR_SYNTAX, "no entry of kind %d is known", (int)e->kind);
}

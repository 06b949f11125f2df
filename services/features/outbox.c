/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include <inttypes.h>

#include "base/clock.h"
#include "batch.h"
#include "features.h"
#include "keeper.h"
#include "log/log.h"
#include "proto/txn_proto.h"
#include "sql.h"

enum { ROWS_MOST = 2000 };

/* Also the sign of life that a standby looks for: see migrations/0008_silent_holder.sql. */
static const int64_t read_every_us = 500 * MS_US;

/* One row of the outbox. False when it cannot be read. */
static bool read_row(struct item *item, const struct pg_result *r, size_t row)
{
    struct arena *arena = item->call->arena;
    struct why why;
    enum err err;

    item->seq = pg_get_int(r, row, 0);
    item->kind = (enum entry_kind)pg_get_int(r, row, 1);
    item->account = (uint32_t)pg_get_int(r, row, 2);
    item->id = arena_slice(arena, pg_get_text(r, row, 3));
    item->body = arena_slice(arena, pg_get_bytes(r, row, 5));
    err = item->kind == ENTRY_TXN ? txn_unpack(&item->txn, item->body, arena, &why)
                                  : label_unpack(&item->label, item->body, arena, &why);
    if (err)
        log_limited(LOG_ERROR, "outbox_unreadable", "seq=%" PRId64 " why=%s", item->seq,
                    log_quoted(slice_str(why.text)));
    return err == ERR_OK;
}

static void on_outbox(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    size_t rows = reply->err ? 0 : pg_rows(reply->results[0]);
    struct call *call;

    keeper_session_done(f);
    f->outbox_at_us = clock_mono_us() + read_every_us;
    if (reply->err)
        return;
    /* What comes meanwhile is taken while it serves: as long as callers do without us it never ends. */
    f->is_outbox_short = rows < ROWS_MOST;
    if (!rows)
        return;
    call = call_new(NULL, NULL, rows);
    call->count = 0;
    for (size_t i = 0; i < rows; i++) {
        if (read_row(&call->items[call->count], reply->results[0], i))
            call->count++;
        else if (call->count == 0) /* leave it, and go on behind it */
            f->outbox_after = call->items[0].seq;
        else
            break;
    }
    batch_form_outbox(f, call);
    if (rows == ROWS_MOST)
        f->outbox_at_us = 0;
}

void outbox_read(struct features *f)
{
    struct pg_unit *unit = pg_unit_new(f->session);
    struct pg_params *p = pg_unit_add(unit, SQL_READ_OUTBOX);

    pg_add_i64(p, f->outbox_after);
    pg_add_i32(p, ROWS_MOST);
    pg_unit_is_read(unit);
    keeper_session_send(f, unit, on_outbox);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/slice.h"
#include "../chaos/chance.h"
#include "pg/session.h"

enum { LOOK_EVERY_US = 5000, RECONNECT_US = 50000 };

/* One alias, one model in that state, and the same; no other alias points to it but where it may. */
static const char look_sql[] =
    "SELECT (SELECT count(*) FROM aliases WHERE name = $1::text AND alias = 'champion'), "
    "(SELECT count(*) FROM models WHERE name = $1::text AND state = 'champion'), "
    "(SELECT count(*) FROM aliases a JOIN models m USING (version) WHERE a.name = $1::text AND a.alias = "
    "'champion' AND m.state = 'champion'), "
    "(SELECT count(*) FROM aliases a JOIN aliases b USING (name, version) WHERE name = $1::text AND "
    "a.alias = 'champion' AND b.alias <> 'champion')";

static bool look(struct guard *g, struct pg_session *s)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    int64_t n[4] = { 0 };
    enum err err;

    pg_add_text(&p, slice_str(g->name));
    err = pg_exec(s, look_sql, &p, &r, &why);
    for (int i = 0; i < 4 && !err; i++)
        n[i] = pg_get_int(r, 0, i);
    pg_params_release(&p);
    pg_result_free(r);
    if (err)
        return false;
    g->looks++;
    if (n[0] == 1 && n[1] == 1 && n[2] == 1 && n[3] == 0)
        return true;
    if (!g->faults++)
        (void)err_set(&g->first, ERR_INTERNAL,
                      "%" PRId64 " aliases, %" PRId64 " models in that state, %" PRId64 " both, %" PRId64
                      " with another alias",
                      n[0], n[1], n[2], n[3]);
    return true;
}

static void *run(void *ctx)
{
    struct guard *g = ctx;
    struct pg_session *s = NULL;

    while (!__atomic_load_n(&g->stops, __ATOMIC_SEQ_CST)) {
        struct why why = { 0 };

        if (!s && pg_session_open(&s, g->conninfo, "lifecycle-guard", &why)) {
            g->away++;
            usleep(RECONNECT_US);
            continue;
        }
        if (!look(g, s)) {
            g->away++;
            pg_session_close(s);
            s = NULL;
        }
        usleep(LOOK_EVERY_US);
    }
    pg_session_close(s);
    return NULL;
}

void guard_start(struct guard *g)
{
    if (pthread_create(&g->thread, NULL, run, g))
        die("guard", "no thread");
}

void guard_stop(struct guard *g)
{
    __atomic_store_n(&g->stops, true, __ATOMIC_SEQ_CST);
    pthread_join(g->thread, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "retrainer.h"

#include <stddef.h>
#include <string.h>

#include "app/service.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "desk/desk.h"
#include "learner.h"
#include "lifestore/row.h"
#include "rest.h"
#include "steward.h"

#define AT(field) offsetof(struct retrainer_settings, field)
const struct conf_field retrainer_fields[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "PostgreSQL, not through a pooler by transaction", 0, 0 },
    { "RETRAINER_PG_ROLE", CONF_TEXT, AT(pg_role), "assay_retrainer",
      "role taken on PostgreSQL; empty: the login's own", 0, 0 },
    { "RETRAINER_CLOCK", CONF_TEXT, AT(clock), "live",
      "live: the machine's time; log: the newest of accounts on a simulated clock", 0, 0 },
    { "RETRAINER_ATTEMPTS", CONF_INT, AT(attempts), "3",
      "how often a run that is interrupted is taken up before it counts as failed", 1, 1000 },
    { "RETRAINER_NICE", CONF_INT, AT(nice), "10", "how far training steps back for what serves", 0, 19 },
    { "RETRAINER_THREADS", CONF_INT, AT(threads), "0", "to train with; 0: all cores", 0, 1024 },
    { "RETRAINER_TURN", CONF_DURATION_MS, AT(turn_ms), "1s", "how often schedules and runs are looked at", 10,
      60000 },
    { "RETRAINER_ONLINE_OTHERS", CONF_INT, AT(online_others), "10",
      "of the payments nobody called fraud, one in so many teaches the online model, for all of them", 1,
      10000 },
    { "RETRAINER_ONLINE_WAITING", CONF_INT, AT(online_waiting), "1000000",
      "at most so many payments wait until they teach; as they become more, fewer are drawn, each for more",
      100, 100000000 },
    { "MODEL_KEY", CONF_TEXT, AT(model_key), "",
      "path of the secret key that signs new models; empty: they are not signed", 0, 0 },
    { "MODEL_KEYS", CONF_TEXT, AT(model_keys), "",
      "path of the public keys whose signatures a promotion asks for; empty: for none", 0, 0 },
    { "RETRAINER_STAGES", CONF_TEXT, AT(stages), "{}", "JSON: what a candidate must pass, and how strictly",
      0, 0 },
};
const size_t retrainer_field_count = ARRAY_LEN(retrainer_fields);

struct retrainer {
    struct office office; /* first: the desk's context */
    struct desk *desk;
    struct steward *steward;
    struct learner *learner;
};

enum err retrainer_check(const struct retrainer_settings *conf, struct why *why)
{
    if (strcmp(conf->clock, "live") != 0 && strcmp(conf->clock, "log") != 0)
        return err_set(why, ERR_INVALID, "ASSAY_RETRAINER_CLOCK=%s is neither live nor log", conf->clock);
    return ERR_OK;
}

/* The newest of the last thousand: entries of several such accounts may lie side by side. */
static const char log_now_sql[] =
    "SELECT max(known_at) FROM (SELECT l.known_at FROM log l JOIN accounts a USING (account) WHERE a.clock = "
    "'simulated' ORDER BY l.n DESC LIMIT 1000) newest";

enum err retrainer_now(const struct retrainer_settings *conf, struct pg_session *s, int64_t *now_us,
                       struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = ERR_OK;

    *now_us = clock_wall_us();
    if (strcmp(conf->clock, "log") != 0)
        return ERR_OK;
    err = row_ask(s, log_now_sql, NULL, &r, why);
    if (!err && !pg_is_null(r, 0, 0))
        *now_us = pg_get_time_us(r, 0, 0);
    pg_result_free(r);
    return err;
}

static void on_change(void *ctx)
{
    struct retrainer *r = ctx;

    steward_wake(r->steward);
}

static bool is_steward_well(void *arg, struct why *detail)
{
    const struct retrainer *r = arg;

    return steward_is_well(r->steward, detail);
}

static bool is_learner_well(void *arg, struct why *detail)
{
    const struct retrainer *r = arg;

    return learner_is_well(r->learner, detail);
}

enum err retrainer_open(struct retrainer **out, struct service *app, const struct retrainer_settings *conf,
                        struct why *why)
{
    struct retrainer *r = mem_new(struct retrainer);
    enum err err = retrainer_check(conf, why);

    *out = NULL;
    if (!err)
        err = steward_open(&r->steward, service_metrics(app), conf, why);
    if (!err)
        err = learner_open(&r->learner, service_metrics(app), conf, why);
    r->office.conf = conf;
    if (!err)
        err = desk_open(&r->desk,
                        &(struct desk_conf){ .loop = service_loop(app),
                                             .pg_url = conf->pg_url,
                                             .pg_role = conf->pg_role,
                                             .application = "assay-retrainer-desk",
                                             .queries = rest_queries,
                                             .changed = on_change,
                                             .ctx = r,
                                             .spans = service_spans(app),
                                             .trace_share = service_trace_share(app) },
                        why);
    if (!err) {
        service_check(app, "steward", is_steward_well, r);
        service_check(app, "learner", is_learner_well, r);
        err = service_listen(app,
                             &(struct service_listener){
                                 .routes = rest_routes, .route_count = rest_route_count, .service = r->desk },
                             why);
    }
    if (err) {
        retrainer_close(r);
        return err;
    }
    *out = r;
    return ERR_OK;
}

void retrainer_close(struct retrainer *r)
{
    if (!r)
        return;
    desk_close(r->desk);
    learner_close(r->learner);
    steward_close(r->steward);
    mem_free(r);
}

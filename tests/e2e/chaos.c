/* SPDX-License-Identifier: Apache-2.0
 * chaos.c - a cluster under load while its parts are killed, stopped and cut off from each other, and the proof
 * that nothing that was answered has been lost or changed.
 *
 *   chaos --assay PATH --home DIR --prepare SCRIPT [--rounds N] [--seed S] [--rate N]
 *         [--failover-ms MS] [--only NAME]
 *
 * It starts PostgreSQL in DIR/db and puts a relay between all services and what they call; then the
 * script starts the cluster through that relay and leaves DIR/key and DIR/stream.ndjson. Each round strikes one
 * fault, drawn from a shuffled deck (faults.h); two rounds in ten begin while the one before goes on. The rest
 * begin when both ingestion processes decide with all parts again.
 *
 * The last line is `violations: N`; exit 1 when N > 0. Beside what load.h, checker.h and `assay verify` count: a
 * cluster that does not become whole again; and, after a kill of the active features while a standby was there
 * and nothing else happened, more than 2 s without decisions or until they have features again (what the
 * machine itself stalled in that time is added, and printed). */
#include <getopt.h>
#include <libpq-fe.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "chaos/checker.h"
#include "chaos/faults.h"
#include "chaos/load.h"
#include "chaos/nodes.h"
#include "chaos/pulse.h"
#include "chaos/record.h"
#include "chaos/relay.h"
#include "chaos/report.h"
#include "log/log.h"

enum { AT_ONCE_MAX = 3, OVERLAPS_PERCENT = 20 };

static const int64_t step_us = 20 * MS_US, settle_us = 300 * MS_US, whole_limit_us = 60 * SECOND_US;
static const int64_t drain_limit_us = 150 * SECOND_US;

extern char **environ;

struct chaos {
    const char *assay, *home, *prepare, *only;
    int64_t rounds, rate, failover_ms;
    uint64_t seed;
    char pg_home[400], net_url[512], key[256], stream[512];

    struct loop *loop;
    struct cluster *postgres;
    struct relay *relay;
    struct nodes nodes;
    struct record record;
    struct load load;
    struct pulse pulse;
    struct deck deck;
    struct report report;
    struct chance chance;

    struct fault faults[AT_ONCE_MAX];
    struct loop_timer step;
    int64_t round;     /* strikes so far */
    int64_t strike_us; /* the next one; 0: when all is whole */
    int64_t calm_us;   /* since when nothing new was done to it */
    int64_t stopped_us;
};

/* ---- the rounds ---- */

static void on_heal(void *ctx)
{
    struct fault *f = ctx;
    struct chaos *c = f->owner;

    fault_heal(f, c->relay);
    c->calm_us = clock_mono_us();
}

static bool is_any_active(const struct chaos *c)
{
    for (size_t i = 0; i < AT_ONCE_MAX; i++)
        if (c->faults[i].is_active)
            return true;
    return false;
}

/* The next card whose victim is there, or none for now. */
static struct fault *strike_one(struct chaos *c)
{
    struct fault *f = NULL;

    for (size_t i = 0; i < AT_ONCE_MAX && !f; i++)
        if (!c->faults[i].is_active)
            f = &c->faults[i];
    for (size_t tries = 0; f && tries < deck_size(&c->deck); tries++) {
        deck_draw(&c->deck, f);
        if (fault_strike(f, &c->nodes, c->relay, c->faults, AT_ONCE_MAX))
            return f;
    }
    return NULL;
}

static void begin_round(struct chaos *c)
{
    int64_t now = clock_mono_us();
    bool was_whole = pulse_open_count(&c->pulse) == 0, had_standby = nodes_are_whole(&c->nodes);
    struct fault *f = strike_one(c);

    c->strike_us = 0;
    if (!f) {
        c->strike_us = now + settle_us;
        return;
    }
    c->round++;
    c->calm_us = now;
    pulse_fault(&c->pulse, report_round(&c->report, f), !was_whole || !had_standby);
    if (f->is_active)
        loop_timer_set(&f->heal, f->lasts_us);
    if (c->round < c->rounds && chance_below(&c->chance, 100) < OVERLAPS_PERCENT)
        c->strike_us = now + chance_between(&c->chance, 50 * MS_US, 2 * SECOND_US);
}

static bool is_whole(struct chaos *c, int64_t now)
{
    return !is_any_active(c) && now - c->calm_us > settle_us && pulse_is_whole_since(&c->pulse, c->calm_us) &&
           nodes_are_whole(&c->nodes);
}

static void give_up(struct chaos *c, const char *rule)
{
    char why[256] = "";

    for (size_t i = 0; i < c->nodes.count; i++)
        snprintf(why + strlen(why), sizeof why - strlen(why), "%s%s pid %d role %d", i ? ", " : "",
                 c->nodes.nodes[i].name, (int)c->nodes.nodes[i].pid, (int)c->nodes.nodes[i].role);
    violated(&c->record, rule, why);
    loop_stop(c->loop);
}

static void stop_load(struct chaos *c, int64_t now)
{
    load_stop(&c->load);
    c->stopped_us = now;
}

static void on_step(void *ctx)
{
    struct chaos *c = ctx;
    int64_t now = clock_mono_us();

    loop_timer_set(&c->step, step_us);
    if (c->stopped_us) {
        if (c->load.in_flight == 0)
            loop_stop(c->loop);
        else if (now - c->stopped_us > drain_limit_us)
            give_up(c, "requests do not come to an end");
    } else if (c->load.is_exhausted) {
        give_up(c, "the stream was too short");
    } else if (c->strike_us) {
        if (now >= c->strike_us)
            begin_round(c);
    } else if (is_whole(c, now)) {
        report_outages(&c->report, &c->pulse);
        if (c->round == c->rounds)
            stop_load(c, now);
        else
            c->strike_us = now + chance_between(&c->chance, 100 * MS_US, 700 * MS_US);
    } else if (now - c->calm_us > whole_limit_us) {
        give_up(c, "the cluster does not become whole again");
    }
}

/* ---- before and after ---- */

static void read_key(struct chaos *c)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/key", c->home);
    f = fopen(path, "r");
    if (!f || !fgets(c->key, sizeof c->key, f))
        die(path, "no key");
    c->key[strcspn(c->key, "\n")] = '\0';
    fclose(f);
}

/* The directory of PostgreSQL's socket. */
static void socket_path(const struct cluster *postgres, char path[512])
{
    PQconninfoOption *options = PQconninfoParse(cluster_conninfo(postgres), NULL);

    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, "host") == 0)
            snprintf(path, 512, "%s/.s.PGSQL.5432", o->val);
    PQconninfoFree(options);
}

static void open_network(struct chaos *c)
{
    static const char *const settings[] = { "ASSAY_FEATURES_ADDR", NULL, "ASSAY_SCORING_ADDR",
                                            "ASSAY_RULES_ADDR" };
    char net[400], to[512], from[512], addresses[64] = "";
    struct why why = { 0 };
    enum err err = relay_open(&c->relay, &why);

    for (size_t line = LINE_FEATURES; line < LINE_POSTGRES && !err; line++) {
        int port = 0;

        err = relay_add_port(c->relay, &port, &why);
        if (settings[line])
            addresses[0] = '\0';
        snprintf(addresses + strlen(addresses), sizeof addresses - strlen(addresses), "%s127.0.0.1:%d",
                 *addresses ? "," : "", port);
        setenv(settings[line] ? settings[line] : settings[LINE_FEATURES], addresses, 1);
    }
    snprintf(net, sizeof net, "%s/net", c->home);
    snprintf(from, sizeof from, "%s/.s.PGSQL.5432", net);
    mkdir(net, 0700);
    socket_path(c->postgres, to);
    if (!err)
        err = relay_add_socket(c->relay, from, to, &why);
    if (!err)
        err = relay_start(c->relay, &why);
    if (err)
        die("relay", why.text);
    snprintf(c->net_url, sizeof c->net_url, "host='%s' port=5432 user=assay dbname=assay", net);
    setenv("ASSAY_PG_URL", c->net_url, 1);
    setenv("ASSAY_HOME", c->home, 1);
}

static void aim(struct chaos *c, enum line_name line, const char *name)
{
    const struct node *n = nodes_find(&c->nodes, name);

    if (!n)
        die("the cluster has no", name);
    relay_aim(c->relay, line, n->port);
}

static void start_cluster(struct chaos *c)
{
    const char *argv[] = { c->prepare, c->assay, c->home, NULL };
    int ports[LOAD_TARGETS], status = 0;
    struct why why = { 0 };
    pid_t pid;

    snprintf(c->pg_home, sizeof c->pg_home, "%s/db", c->home);
    if (cluster_open(&c->postgres, c->pg_home, false, &why) || cluster_start(c->postgres, &why))
        die("PostgreSQL", why.text);
    open_network(c);
    if (posix_spawn(&pid, c->prepare, NULL, NULL, (char *const *)(uintptr_t)argv, environ) ||
        waitpid(pid, &status, 0) != pid || status)
        die(c->prepare, "failed");
    read_key(c);
    snprintf(c->stream, sizeof c->stream, "%s/stream.ndjson", c->home);
    nodes_open(&c->nodes, c->loop, c->assay, c->home, c->pg_home, c->postgres);
    aim(c, LINE_FEATURES, "features");
    aim(c, LINE_STANDBY, "features-standby");
    aim(c, LINE_SCORING, "scoring");
    aim(c, LINE_RULES, "rules");
    for (size_t i = 0; i < LOAD_TARGETS; i++) {
        const struct node *n = nodes_find(&c->nodes, i ? "ingestion-2" : "ingestion");

        if (!n)
            die(c->home, "needs two ingestion processes");
        ports[i] = n->port;
    }
    record_open(&c->record, c->stream);
    load_open(&c->load, c->loop, &c->record, ports, c->key, (double)c->rate, c->seed + 1);
}

static void on_decision(void *ctx, int64_t sent_us, size_t target, const struct answer *answer, bool is_first)
{
    struct chaos *c = ctx;

    pulse_decision(&c->pulse, sent_us, target, answer->is_degraded, is_first);
}

static void run(struct chaos *c)
{
    pulse_open(&c->pulse, c->home);
    deck_init(&c->deck, c->seed, c->only);
    c->chance.state = c->seed + 2;
    c->load.on_decision = on_decision;
    c->load.ctx = c;
    for (size_t i = 0; i < AT_ONCE_MAX; i++) {
        c->faults[i].owner = c;
        loop_timer_init(&c->faults[i].heal, c->loop, on_heal, &c->faults[i]);
    }
    loop_timer_init(&c->step, c->loop, on_step, c);
    loop_timer_set(&c->step, step_us);
    c->calm_us = clock_mono_us();
    load_start(&c->load);
    loop_run(c->loop);
    for (size_t i = 0; i < AT_ONCE_MAX; i++) {
        fault_heal(&c->faults[i], c->relay);
        loop_timer_release(&c->faults[i].heal);
    }
    loop_timer_release(&c->step);
}

static void reckon(struct chaos *c)
{
    static const char *const verify[] = { "verify", NULL };
    const struct load *l = &c->load;

    report_outages(&c->report, &c->pulse);
    report_print(&c->report, &c->pulse, &c->record, c->failover_ms * MS_US);
    printf("answers: %zu of %zu transactions and %zu labels; %zu tries more, %zu conflicts, %zu degraded, "
           "%zu asked "
           "again later\n",
           l->answers, c->record.transactions, c->record.labels, l->retries, l->conflicts, l->degraded,
           l->echoes);
    check_record(&c->record, cluster_conninfo(c->postgres));
    fflush(stdout);
    if (nodes_run(&c->nodes, verify))
        violated(&c->record, "assay verify", "see above");
    printf("violations: %zu\n", c->record.violations);
}

static void close_all(struct chaos *c)
{
    load_close(&c->load);
    nodes_close(&c->nodes);
    record_close(&c->record);
    report_close(&c->report);
    pulse_close(&c->pulse);
    relay_close(c->relay);
    cluster_close(c->postgres);
    loop_close(c->loop);
}

static void read_arguments(struct chaos *c, int argc, char **argv)
{
    static const struct option options[] = {
        { "assay", required_argument, NULL, 'a' },
        { "home", required_argument, NULL, 'h' },
        { "prepare", required_argument, NULL, 'p' },
        { "rounds", required_argument, NULL, 'n' },
        { "seed", required_argument, NULL, 's' },
        { "rate", required_argument, NULL, 'r' },
        { "failover-ms", required_argument, NULL, 'f' },
        { "only", required_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int64_t number = 0;

        if (strchr("nsrf", option) && (!slice_to_i64(slice_str(optarg), &number) || number < 0))
            die("not a number", optarg);
        switch (option) {
        case 'a':
            c->assay = optarg;
            break;
        case 'h':
            c->home = optarg;
            break;
        case 'p':
            c->prepare = optarg;
            break;
        case 'n':
            c->rounds = number;
            break;
        case 's':
            c->seed = (uint64_t)number;
            break;
        case 'r':
            c->rate = number;
            break;
        case 'o':
            c->only = optarg;
            break;
        case 'f':
            c->failover_ms = number;
            break;
        default:
            exit(2);
        }
    }
    if (!c->assay || !c->home || !c->prepare)
        die("usage", "--assay PATH --home DIR --prepare SCRIPT are needed");
}

int main(int argc, char **argv)
{
    struct chaos c = { .rounds = 10, .seed = 1, .rate = 250, .only = "" };
    struct why why = { 0 };
    size_t violations;

    read_arguments(&c, argc, argv);
    log_open("chaos", LOG_ERROR); /* that peers go away is what happens here */
    if (loop_open(&c.loop, &why))
        die("loop", why.text);
    start_cluster(&c);
    printf("seed %llu, %lld rounds, %lld a second\n", (unsigned long long)c.seed, (long long)c.rounds,
           (long long)c.rate);
    run(&c);
    reckon(&c);
    violations = c.record.violations;
    close_all(&c);
    return violations != 0;
}

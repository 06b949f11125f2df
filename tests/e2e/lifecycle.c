/* SPDX-License-Identifier: Apache-2.0
 * lifecycle.c - models are promoted and rolled back under load, first in peace and then while what serves, trains
 * and stores them is killed.
 *
 *   lifecycle --assay PATH --home DIR --prepare SCRIPT [--trials N] [--rounds N] [--seed S] [--rate N]
 *
 * It starts PostgreSQL in DIR/db; the script starts the cluster on it, with two models of one name, and leaves
 * DIR/key and DIR/stream.ndjson. A second process that scores is started beside.
 *
 * Trials: N times the champion is changed, by promotion and by rollback in turn, as fast as all who score say that
 * they serve it. No request fails, and each decision names a model. One that is asked for after all have said that they
 * serve a model, and answered before the next change begins, names that model. How long each change took is printed and
 * not judged.
 *
 * Rounds: N times, at a random moment of a change or of a training, one of them is killed with -9: scoring,
 * PostgreSQL, the retrainer with its child, or the child alone. In every snapshot of the registry there is exactly one
 * champion; each decision names a version whose stored bundle is whole; each run of training that was asked for ends,
 * and says how.
 *
 * The last line is `violations: N`; exit 1 when N > 0. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "chaos/checker.h"
#include "chaos/load.h"
#include "chaos/nodes.h"
#include "chaos/record.h"
#include "lifecycle/guard.h"
#include "lifecycle/mover.h"
#include "log/log.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"

static const int64_t step_us = 20 * MS_US, settle_us = 300 * MS_US, whole_limit_us = 90 * SECOND_US;
static const int64_t drain_limit_us = 150 * SECOND_US, runs_limit_us = 180 * SECOND_US;

extern char **environ;

/* A decision that says what is so now. */
struct seen {
    int64_t sent_us, answered_us, model; /* model 0: it names none */
};

enum victim { SCORING, SECOND_SCORING, POSTGRES, RETRAINER, TRAINEE, VICTIM_COUNT };
static const char *const victim_names[] = {
    [SCORING] = "scoring",
    [SECOND_SCORING] = "the second scoring",
    [POSTGRES] = "PostgreSQL",
    [RETRAINER] = "the retrainer and its child",
    [TRAINEE] = "the child that trains",
};
static_assert(ARRAY_LEN(victim_names) == VICTIM_COUNT, "every victim has a name");

struct lifecycle {
    const char *assay, *home, *prepare;
    int64_t trials, rounds, rate;
    uint64_t seed;
    char pg_home[400], key[256], stream[512], name[128];

    struct loop *loop;
    struct cluster *postgres;
    struct nodes nodes;
    struct record record;
    struct load load;
    struct mover mover;
    struct guard guard;
    struct chance chance;
    pid_t second; /* scoring */

    struct seen *seen;
    size_t seen_count, seen_cap, unnamed;
    struct loop_timer step;
    bool is_striking; /* rounds, not trials */
    int64_t round, strike_us, calm_us, stopped_us;
    int64_t whole_us[LOAD_TARGETS]; /* when a decision with a score was last asked for there */
    size_t kills[VICTIM_COUNT];
    enum victim deck[VICTIM_COUNT]; /* shuffled: each comes once before one comes twice */
    size_t next_card;
};

/* ---- what answers say ---- */

static void on_decision(void *ctx, int64_t sent_us, size_t target, const struct answer *answer, bool is_first)
{
    struct lifecycle *l = ctx;
    int64_t model = 0;

    if (answer->has_score && (!slice_to_i64(slice_str(answer->model), &model) || model <= 0))
        violated(&l->record, "a score that names no model", answer->model);
    if (!is_first)
        return;
    if (answer->has_score)
        l->whole_us[target] = sent_us;
    l->unnamed += model == 0;
    ARRAY_RESERVE_ONE(l->seen, l->seen_count, l->seen_cap);
    l->seen[l->seen_count++] = (struct seen){ sent_us, clock_mono_us(), model };
}

/* ---- the second process that scores ---- */

static void start_second(struct lifecycle *l)
{
    char path[4096], copy[4096];
    posix_spawn_file_actions_t files;
    const char *argv[] = { path, NULL };

    snprintf(copy, sizeof copy, "%s", l->assay);
    snprintf(path, sizeof path, "%s/scoring", dirname(copy));
    setenv("ASSAY_SCORING_PORT", "0", 1);
    setenv("ASSAY_SCORING_ADMIN_PORT", "0", 1);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&l->second, path, &files, NULL, (char *const *)(uintptr_t)argv, environ))
        die("cannot start", path);
    posix_spawn_file_actions_destroy(&files);
}

static void end_second(struct lifecycle *l, int with)
{
    if (!l->second)
        return;
    kill(l->second, with);
    waitpid(l->second, NULL, 0);
    l->second = 0;
}

/* ---- rounds ---- */

static bool kill_node(struct lifecycle *l, const char *name, bool only_children)
{
    const struct node *n = nodes_find(&l->nodes, name);
    pid_t tree[TREE_MAX];
    size_t count = n && n->pid ? process_tree(n->pid, tree) : 0;

    for (size_t i = only_children; i < count; i++)
        kill(tree[i], SIGKILL);
    return count > only_children;
}

/* False when it is not there to be killed. */
static bool strike(struct lifecycle *l, enum victim victim)
{
    switch (victim) {
    case SCORING:
        return kill_node(l, "scoring", false);
    case SECOND_SCORING:
        end_second(l, SIGKILL);
        start_second(l);
        return true;
    case POSTGRES:
        cluster_kill(l->postgres);
        return true;
    case RETRAINER:
        return kill_node(l, "retrainer", false);
    default:
        return kill_node(l, "retrainer", true);
    }
}

static enum victim draw(struct lifecycle *l)
{
    if (l->next_card == 0)
        for (size_t i = 0; i < VICTIM_COUNT; i++) {
            size_t j = chance_below(&l->chance, i + 1);

            l->deck[i] = l->deck[j];
            l->deck[j] = (enum victim)i;
        }
    l->next_card = (l->next_card + 1) % VICTIM_COUNT;
    return l->deck[l->next_card];
}

static void begin_round(struct lifecycle *l)
{
    enum victim victim = draw(l);

    l->strike_us = 0;
    if (!strike(l, victim)) {
        l->strike_us = clock_mono_us() + step_us;
        return;
    }
    l->calm_us = clock_mono_us();
    l->round++;
    l->kills[victim]++;
    printf("%4" PRId64 "  kill -9: %s\n", l->round, victim_names[victim]);
    fflush(stdout);
}

static bool is_whole(struct lifecycle *l, int64_t now)
{
    bool decides = now - l->calm_us > settle_us && nodes_are_whole(&l->nodes);

    for (size_t i = 0; i < LOAD_TARGETS; i++)
        decides = decides && l->whole_us[i] > l->calm_us;
    return decides;
}

static void give_up(struct lifecycle *l, const char *rule)
{
    violated(&l->record, rule, "");
    loop_stop(l->loop);
}

static void on_step(void *ctx)
{
    struct lifecycle *l = ctx;
    int64_t now = clock_mono_us();

    loop_timer_set(&l->step, step_us);
    if (l->stopped_us) {
        if (l->load.in_flight == 0)
            loop_stop(l->loop);
        else if (now - l->stopped_us > drain_limit_us)
            give_up(l, "requests do not come to an end");
    } else if (l->load.is_exhausted) {
        give_up(l, "the stream was too short");
    } else if (!l->is_striking ? mover_has_ended(&l->mover) : l->round == l->rounds && is_whole(l, now)) {
        load_stop(&l->load);
        l->stopped_us = now;
    } else if (!l->is_striking) {
        return;
    } else if (l->strike_us) {
        if (now >= l->strike_us)
            begin_round(l);
    } else if (is_whole(l, now)) {
        l->strike_us = now + chance_between(&l->chance, 0, 1500 * MS_US);
    } else if (now - l->calm_us > whole_limit_us) {
        give_up(l, "the cluster does not become whole again");
    }
}

/* ---- one phase ---- */

static void open_load(struct lifecycle *l)
{
    int ports[LOAD_TARGETS];

    for (size_t i = 0; i < LOAD_TARGETS; i++) {
        const struct node *n = nodes_find(&l->nodes, i ? "ingestion-2" : "ingestion");

        if (!n)
            die(l->home, "needs two ingestion processes");
        ports[i] = n->port;
    }
    load_open(&l->load, l->loop, &l->record, ports, l->key, (double)l->rate, l->seed + 1);
    l->load.on_decision = on_decision;
    l->load.ctx = l;
}

static void play(struct lifecycle *l, bool is_striking)
{
    l->is_striking = is_striking;
    l->stopped_us = l->round = 0;
    l->seen_count = l->unnamed = 0;
    memset(l->whole_us, 0, sizeof l->whole_us);
    open_load(l);
    l->guard = (struct guard){ .conninfo = cluster_conninfo(l->postgres), .name = l->name };
    l->mover = (struct mover){ .conninfo = cluster_conninfo(l->postgres),
                               .name = l->name,
                               .versions = { l->mover.versions[0], l->mover.versions[1] },
                               .processes = 2,
                               .moves_wanted = is_striking ? 0 : (size_t)l->trials,
                               .pause_us = is_striking ? 200 * MS_US : 100 * MS_US,
                               .is_patient = is_striking,
                               .retrains = is_striking && nodes_find(&l->nodes, "retrainer"),
                               .chance = { l->seed + 2 } };
    l->calm_us = clock_mono_us();
    l->strike_us = 0;
    load_start(&l->load);
    guard_start(&l->guard);
    mover_start(&l->mover);
    loop_timer_set(&l->step, step_us);
    loop_run(l->loop);
    mover_stop(&l->mover);
    guard_stop(&l->guard);
    loop_timer_stop(&l->step);
    if (l->guard.faults)
        violated(&l->record, "not exactly one champion", l->guard.first.text);
    printf("the registry was looked at %zu times, and could not be %zu times\n", l->guard.looks,
           l->guard.away);
}

/* ---- the reckoning ---- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void print_times(const char *what, int64_t *us, size_t count)
{
    qsort(us, count, sizeof *us, by_size);
    if (count)
        printf("%-52s p50 %6.1f ms  p99 %6.1f ms  most %6.1f ms\n", what, (double)us[count / 2] / 1000,
               (double)us[count * 99 / 100] / 1000, (double)us[count - 1] / 1000);
}

/* How long after the change one was asked for that still names the other; 0: none did. One that is answered after the
 * next change began may name either. */
static int64_t last_of_the_other(const struct lifecycle *l, const struct move *v, bool *after_told)
{
    int64_t last_us = 0;

    *after_told = false;
    for (size_t i = 0; i < l->seen_count; i++) {
        const struct seen *s = &l->seen[i];

        if (s->model == v->to || s->sent_us < v->done_us || s->answered_us > v->ended_us || !s->model)
            continue;
        if (s->sent_us - v->done_us > last_us)
            last_us = s->sent_us - v->done_us;
        *after_told = *after_told || (v->told_us && s->sent_us > v->told_us);
    }
    return last_us;
}

static void judge_trials(struct lifecycle *l)
{
    int64_t *told = mem_new_n(int64_t, l->mover.count + 1), *decided = mem_new_n(int64_t, l->mover.count + 1);
    size_t count = 0;

    for (size_t i = 0; i < l->mover.count; i++) {
        const struct move *v = &l->mover.moves[i];
        bool after_told;

        if (v->err || !v->told_us) {
            violated(&l->record, v->is_rollback ? "a rollback failed" : "a promotion failed",
                     v->err ? v->why.text : "not all who score said that they serve it");
            continue;
        }
        decided[count] = last_of_the_other(l, v, &after_told);
        told[count++] = v->told_us - v->began_us;
        if (after_told)
            violated(&l->record, "the model before answered after all had said that they serve another", "");
    }
    if (l->load.retries)
        violated(&l->record, "requests failed", "see the counts");
    if (l->load.degraded || l->unnamed)
        violated(&l->record, "decisions without a model", "see the counts");
    if (l->mover.count != (size_t)l->trials)
        violated(&l->record, "not all trials were made", "");
    printf("trials: %zu; decisions %zu, failed requests %zu, degraded %zu, without a model %zu\n",
           l->mover.count, l->seen_count, l->load.retries, l->load.degraded, l->unnamed);
    print_times("asked for, until all who score say they serve it:", told, count);
    print_times("made, until the last request that the other answers:", decided, count);
    mem_free(told);
    mem_free(decided);
}

/* All that decisions name, each read and compared with its digest. */
static void check_versions(struct lifecycle *l, struct pg_session *s)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };

    if (pg_exec(
            s,
            "SELECT DISTINCT d.model_version::int8 FROM decisions d WHERE d.model_version <> '' AND d.score "
            "IS NOT NULL",
            NULL, &r, &why))
        die("decisions", why.text);
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct buf bundle;
        enum err err;

        buf_init(&bundle, 0);
        err = model_read(s, pg_get_int(r, i, 0), NULL, &bundle, &why);
        if (err)
            violated(&l->record, "a decision by a model that is not whole", why.text);
        buf_release(&bundle);
    }
    printf("decisions name %zu models\n", pg_rows(r));
    pg_result_free(r);
}

static const char runs_sql[] =
    "SELECT count(*) FILTER (WHERE state IN ('queued', 'running')), count(*) FILTER (WHERE state = "
    "'succeeded'), "
    "count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'cancelled'), "
    "count(*) FILTER (WHERE state = 'failed' AND message = ''), "
    "count(*) FILTER (WHERE state = 'succeeded' AND version IS NULL AND message = ''), "
    "count(*) FILTER (WHERE attempts > 1) FROM training_runs";

/* How those ended that did not succeed. */
static void print_ends(struct pg_session *s)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };

    if (pg_exec(s,
                "SELECT state, message, count(*) FROM training_runs WHERE state IN ('failed', 'cancelled') "
                "GROUP BY "
                "state, message ORDER BY 3 DESC LIMIT 5",
                NULL, &r, &why))
        die("runs", why.text);
    for (size_t i = 0; i < pg_rows(r); i++)
        printf("  %" PRId64 " %.*s: %.*s\n", pg_get_int(r, i, 2), SLICE_ARG(pg_get_text(r, i, 0)),
               SLICE_ARG(pg_get_text(r, i, 1)));
    pg_result_free(r);
}

/* A run that was interrupted goes on, or says that it ended. */
static void check_runs(struct lifecycle *l, struct pg_session *s)
{
    int64_t until_us = clock_mono_us() + runs_limit_us, open = 1;
    struct pg_result *r = NULL;
    struct why why = { 0 };

    while (open && clock_mono_us() < until_us) {
        pg_result_free(r);
        if (pg_exec(s, runs_sql, NULL, &r, &why))
            die("runs", why.text);
        open = pg_get_int(r, 0, 0);
        if (open)
            usleep(100000);
    }
    printf("runs of training: %" PRId64 " succeeded, %" PRId64 " failed, %" PRId64 " cancelled, %" PRId64
           " open; %" PRId64 " were taken up again\n",
           pg_get_int(r, 0, 1), pg_get_int(r, 0, 2), pg_get_int(r, 0, 3), open, pg_get_int(r, 0, 6));
    print_ends(s);
    if (open)
        violated(&l->record, "a run neither goes on nor says that it ended", "");
    if (pg_get_int(r, 0, 4) || pg_get_int(r, 0, 5))
        violated(&l->record, "a run ended and does not say how", "");
    pg_result_free(r);
}

static void judge_rounds(struct lifecycle *l)
{
    size_t unknown = 0;

    for (size_t i = 0; i < l->mover.count; i++)
        unknown += l->mover.moves[i].err != ERR_OK;
    printf("rounds: %" PRId64
           "; changes %zu, of which %zu were cut short; decisions %zu, without a model %zu; runs "
           "asked for %zu\n",
           l->round, l->mover.count, unknown, l->seen_count, l->unnamed, l->mover.runs);
    for (size_t i = 0; i < VICTIM_COUNT; i++)
        printf("  %-28s %zu\n", victim_names[i], l->kills[i]);
}

static void check_all(struct lifecycle *l)
{
    static const char *const verify[] = { "verify", NULL };
    struct pg_session *s = NULL;
    struct why why = { 0 };

    if (pg_session_open(&s, cluster_conninfo(l->postgres), "lifecycle", &why))
        die("PostgreSQL", why.text);
    check_versions(l, s);
    if (nodes_find(&l->nodes, "retrainer"))
        check_runs(l, s);
    pg_session_close(s);
    check_record(&l->record, cluster_conninfo(l->postgres));
    fflush(stdout);
    if (nodes_run(&l->nodes, verify))
        violated(&l->record, "assay verify", "see above");
}

/* ---- before and after ---- */

static void read_key(struct lifecycle *l)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/key", l->home);
    f = fopen(path, "r");
    if (!f || !fgets(l->key, sizeof l->key, f))
        die(path, "no key");
    l->key[strcspn(l->key, "\n")] = '\0';
    fclose(f);
}

static void read_models(struct lifecycle *l)
{
    struct pg_session *s = NULL;
    struct pg_result *r = NULL;
    struct why why = { 0 };

    if (pg_session_open(&s, cluster_conninfo(l->postgres), "lifecycle", &why) ||
        pg_exec(s,
                "SELECT m.name, m.version FROM models m LEFT JOIN aliases a ON a.version = m.version AND "
                "a.alias = "
                "'champion' ORDER BY a.alias NULLS LAST, m.version",
                NULL, &r, &why))
        die("models", why.text);
    if (pg_rows(r) != 2)
        die("models", "needs a champion and another one");
    snprintf(l->name, sizeof l->name, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
    for (size_t i = 0; i < 2; i++)
        l->mover.versions[i] = pg_get_int(r, i, 1);
    pg_result_free(r);
    pg_session_close(s);
}

static void start_cluster(struct lifecycle *l)
{
    const char *argv[] = { l->prepare, l->assay, l->home, NULL };
    struct why why = { 0 };
    int status = 0;
    pid_t pid;

    snprintf(l->pg_home, sizeof l->pg_home, "%s/db", l->home);
    if (cluster_open(&l->postgres, l->pg_home, false, &why) || cluster_start(l->postgres, &why))
        die("PostgreSQL", why.text);
    setenv("ASSAY_PG_URL", cluster_conninfo(l->postgres), 1);
    setenv("ASSAY_HOME", l->home, 1);
    if (posix_spawn(&pid, l->prepare, NULL, NULL, (char *const *)(uintptr_t)argv, environ) ||
        waitpid(pid, &status, 0) != pid || status)
        die(l->prepare, "failed");
    read_key(l);
    read_models(l);
    nodes_open(&l->nodes, l->loop, l->assay, l->home, l->pg_home, l->postgres);
    snprintf(l->stream, sizeof l->stream, "%s/stream.ndjson", l->home);
    record_open(&l->record, l->stream);
    start_second(l);
}

static void close_all(struct lifecycle *l)
{
    end_second(l, SIGTERM);
    loop_timer_release(&l->step);
    nodes_close(&l->nodes);
    record_close(&l->record);
    cluster_close(l->postgres);
    loop_close(l->loop);
    mem_free(l->seen);
}

static void read_arguments(struct lifecycle *l, int argc, char **argv)
{
    static const struct option options[] = {
        { "assay", required_argument, NULL, 'a' },   { "home", required_argument, NULL, 'h' },
        { "prepare", required_argument, NULL, 'p' }, { "trials", required_argument, NULL, 't' },
        { "rounds", required_argument, NULL, 'n' },  { "seed", required_argument, NULL, 's' },
        { "rate", required_argument, NULL, 'r' },    { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int64_t number = 0;

        if (strchr("tnsr", option) && (!slice_to_i64(slice_str(optarg), &number) || number < 0))
            die("not a number", optarg);
        switch (option) {
        case 'a':
            l->assay = optarg;
            break;
        case 'h':
            l->home = optarg;
            break;
        case 'p':
            l->prepare = optarg;
            break;
        case 't':
            l->trials = number;
            break;
        case 'n':
            l->rounds = number;
            break;
        case 's':
            l->seed = (uint64_t)number;
            break;
        case 'r':
            l->rate = number;
            break;
        default:
            exit(2);
        }
    }
    if (!l->assay || !l->home || !l->prepare)
        die("usage", "--assay PATH --home DIR --prepare SCRIPT are needed");
}

int main(int argc, char **argv)
{
    static struct lifecycle l = { .trials = 100, .rounds = 10, .seed = 1, .rate = 100 };
    struct why why = { 0 };
    size_t violations;

    read_arguments(&l, argc, argv);
    log_open("lifecycle", LOG_ERROR);
    if (loop_open(&l.loop, &why))
        die("loop", why.text);
    start_cluster(&l);
    l.chance.state = l.seed;
    loop_timer_init(&l.step, l.loop, on_step, &l);
    printf("seed %" PRIu64 ", %" PRId64 " trials, %" PRId64 " rounds, %" PRId64 " a second\n", l.seed,
           l.trials, l.rounds, l.rate);
    fflush(stdout);
    if (l.trials) {
        play(&l, false);
        judge_trials(&l);
        load_close(&l.load);
        mem_free(l.mover.moves);
    }
    if (l.rounds) {
        play(&l, true);
        judge_rounds(&l);
        load_close(&l.load);
        mem_free(l.mover.moves);
    }
    check_all(&l);
    printf("violations: %zu\n", l.record.violations);
    violations = l.record.violations;
    close_all(&l);
    return violations != 0;
}

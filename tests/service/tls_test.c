/* SPDX-License-Identifier: Apache-2.0
 * tls_test.c - a part behind mutual TLS, as real processes: whom it serves, and how it goes over to other
 * certificates. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "grpc/client.h"
#include "harness/cluster.h"
#include "harness/http.h"
#include "harness/process.h"
#include "http/tls.h"
#include "loop/loop.h"
#include "proto/health.pb-c.h"

enum { PATIENCE_US = 20 * 1000000, TRIES = 1000, TRY_US = 20000 };

static char dir[] = "/tmp/assay-tls-XXXXXX", program[PATH_MAX];
static struct process rules;
static struct loop *loop;
static struct why why;

static struct answer {
    bool is_there;
    enum err err;
    struct why why;
} last;

static void shell(const char *format, const char *a)
{
    char command[2 * PATH_MAX];

    snprintf(command, sizeof command, "cd %s && assay() { %s \"$@\" --quiet; } && ", dir, program);
    snprintf(command + strlen(command), sizeof command - strlen(command), format, a);
    cr_assert_eq(system(command), 0, "%s", command);
}

static const char *setting(char text[256], const char *name, const char *file)
{
    snprintf(text, 256, "%s=%s/%s", name, dir, file);
    return text;
}

static void start_rules(void)
{
    char url[512], cert[256], ca[256];
    const char *settings[] = { url, setting(cert, "ASSAY_TLS_CERT", "ours/rules/tls.pem"),
                               setting(ca, "ASSAY_TLS_CA", "ours/rules/ca.pem"), NULL };

    snprintf(url, sizeof url, "ASSAY_PG_URL=%s", test_database());
    process_start(&rules, "rules", settings);
}

static void setup(void)
{
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 64);

    cr_assert_gt(len, 0);
    strcpy(strrchr(program, '/') + 1, "bin/assay");
    cr_assert_not_null(mkdtemp(dir));
    shell("assay certs init --dir ours && assay certs issue stranger --dir ours", "");
    cr_assert_eq(loop_open(&loop, &why), ERR_OK);
    start_rules();
}

static void teardown(void)
{
    process_stop(&rules);
    loop_close(loop);
    shell("cd / && rm -rf %s", dir);
}

TestSuite(tls, .init = setup, .fini = teardown, .timeout = 120);

/* ---- a caller ---- */

struct caller {
    struct tls *tls;
    struct grpc_channel *channel;
    struct arena arena;
};

static char *path(const char *below)
{
    char *text = malloc(256);

    snprintf(text, 256, "%s/%s", dir, below);
    return text;
}

/* `cert` and `ca` below the directory; NULL: none. */
static void caller_open(struct caller *c, const char *cert, const char *ca)
{
    char *cert_path = cert ? path(cert) : NULL, *ca_path = ca ? path(ca) : NULL, address[32];

    *c = (struct caller){ 0 };
    if (ca)
        cr_assert_eq(tls_open(&c->tls, &(struct tls_conf){ .cert = cert_path, .ca = ca_path }, &why), ERR_OK,
                     "%s", why.text);
    snprintf(address, sizeof address, "127.0.0.1:%d", rules.port);
    cr_assert_eq(grpc_channel_open(
                     &c->channel, loop,
                     &(struct http_client_conf){ .address = address, .tls = c->tls, .tls_name = "rules" },
                     &why),
                 ERR_OK, "%s", why.text);
    free(cert_path);
    free(ca_path);
}

static void caller_close(struct caller *c)
{
    grpc_channel_close(c->channel);
    tls_close(c->tls);
    arena_release(&c->arena);
}

static void on_answer(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *reason)
{
    (void)arg;
    (void)reply;
    last = (struct answer){ .is_there = true, .err = err };
    if (err)
        last.why = *reason;
}

static enum err ask(struct caller *c)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    last = (struct answer){ 0 };
    grpc_call(c->channel, &grpc__health__v1__health__descriptor, "Check", &request.base,
              clock_mono_us() + PATIENCE_US, &c->arena, on_answer, NULL);
    while (!last.is_there)
        loop_turn(loop, true);
    return last.err;
}

static enum err ask_once(const char *cert, const char *ca)
{
    struct caller c;
    enum err err;

    caller_open(&c, cert, ca);
    err = ask(&c);
    caller_close(&c);
    return err;
}

/* A metric of rules, by the start of its line. */
static double metric(const char *start)
{
    struct http_said said = http_ask(rules.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    const char *at = said.status == 200 ? strstr(said.body, start) : NULL;
    double value = at ? strtod(at + strlen(start), NULL) : -1;

    http_said_free(&said);
    return value;
}

static void wait_for_more(const char *start, double than)
{
    for (int i = 0; i < TRIES && metric(start) <= than; i++)
        usleep(TRY_US);
    cr_assert_gt(metric(start), than, "%s", start);
}

#define TAKEN   "assay_tls_reloads_total{use=\"services\",result=\"taken\"} "
#define REFUSED "assay_tls_reloads_total{use=\"services\",result=\"refused\"} "
#define EXPIRES "assay_tls_certificate_expires_timestamp_seconds{use=\"services\"} "
#define FAILED  "assay_http_handshakes_failed_total{server=\"rules\"} "

/* ---- what holds ---- */

Test(tls, serves_only_whom_its_authority_and_its_list_know)
{
    cr_assert_eq(ask_once("ours/ingestion/tls.pem", "ours/ca.pem"), ERR_OK, "%s", last.why.text);
    cr_assert_eq(ask_once("ours/assay/tls.pem", "ours/ca.pem"), ERR_OK, "%s", last.why.text);
    cr_assert_eq(metric(FAILED), 0);

    cr_assert_neq(ask_once("ours/stranger/tls.pem", "ours/ca.pem"), ERR_OK, "a name that is not allowed");
    cr_assert_neq(ask_once("ours/scoring/tls.pem", "ours/ca.pem"), ERR_OK, "a certificate to be called by");
    cr_assert_neq(ask_once(NULL, "ours/ca.pem"), ERR_OK, "no certificate");
    shell("assay certs init --dir theirs && cat theirs/ca.pem ours/ca.pem >both.pem", "");
    cr_assert_neq(ask_once("theirs/ingestion/tls.pem", "both.pem"), ERR_OK, "another authority");
    cr_assert_neq(ask_once(NULL, NULL), ERR_OK, "in the clear");
    cr_assert_eq(metric(FAILED), 5);

    cr_assert_eq(ask_once("theirs/ingestion/tls.pem", "theirs/ca.pem"), ERR_UNAVAILABLE,
                 "nor does a caller take a part of another authority");
}

Test(tls, goes_over_to_new_certificates_while_its_callers_go_on)
{
    struct caller c;
    double before;

    caller_open(&c, "ours/ingestion/tls.pem", "ours/ca.pem");
    cr_assert_eq(ask(&c), ERR_OK, "%s", last.why.text);
    before = metric(EXPIRES);
    cr_assert_gt(before, 1e9);
    shell("assay certs rotate --days 400 --dir ours", "");
    while (metric(TAKEN) < 1) /* every one of these is answered */
        cr_assert_eq(ask(&c), ERR_OK, "%s", last.why.text);
    cr_assert_eq(tls_look(c.tls, &why), ERR_OK, "%s", why.text);
    while (grpc_channel_stats(c.channel).connects < 2)
        cr_assert_eq(ask(&c), ERR_OK, "%s", last.why.text);
    cr_assert_eq(grpc_channel_stats(c.channel).connections_lost, 0);
    cr_assert_gt(metric(EXPIRES), before);
    caller_close(&c);
}

Test(tls, stays_with_what_it_has_while_new_files_are_of_no_use)
{
    static const char *const bad[] = {
        "echo none >fresh.pem",
        "cp ours/scoring/ca.pem fresh.pem",
        "assay certs init --dir theirs && cp theirs/rules/tls.pem fresh.pem",
        "sed '/PRIVATE/,$d' ours/rules/tls.pem >fresh.pem && sed '1,/END CERT/d' ours/edge/tls.pem "
        ">>fresh.pem",
    };

    shell("cp ours/rules/tls.pem good.pem", "");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double before = metric(REFUSED);

        shell(bad[i], "");
        shell("mv fresh.pem ours/rules/tls.pem", "");
        wait_for_more(REFUSED, before);
        cr_assert_eq(ask_once("ours/ingestion/tls.pem", "ours/ca.pem"), ERR_OK, "%s: %s", bad[i],
                     last.why.text);
    }
    cr_assert_eq(metric(TAKEN), 0);
    shell("rm ours/rules/tls.pem", "");
    wait_for_more(REFUSED, metric(REFUSED));
    cr_assert_eq(ask_once("ours/ingestion/tls.pem", "ours/ca.pem"), ERR_OK, "%s", last.why.text);
    shell("mv good.pem ours/rules/tls.pem && assay certs rotate --dir ours", "");
    wait_for_more(TAKEN, 0);
    cr_assert_eq(ask_once("ours/ingestion/tls.pem", "ours/ca.pem"), ERR_OK, "%s", last.why.text);
}

Test(tls, ends_the_connections_of_an_authority_that_is_forgotten)
{
    struct caller old, fresh;
    double taken = 0;

    shell("cp -r ours old", "");
    caller_open(&old, "old/ingestion/tls.pem", "old/ca.pem"); /* its files are not replaced */
    caller_open(&fresh, "ours/ingestion/tls.pem", "ours/ca.pem");
    cr_assert_eq(ask(&old), ERR_OK, "%s", last.why.text);
    cr_assert_eq(ask(&fresh), ERR_OK, "%s", last.why.text);

    static const char *const steps[] = { "rotate --ca", "rotate", "rotate --forget" };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        shell("touch -d '1 minute ago' ours/ca.pem ours/*/tls.pem && assay certs %s --dir ours", steps[i]);
        wait_for_more(TAKEN, taken);
        taken = metric(TAKEN);
        cr_assert_eq(tls_look(fresh.tls, &why), ERR_OK, "%s", why.text);
        cr_assert_eq(ask(&fresh), ERR_OK, "%s: %s", steps[i], last.why.text);
    }
    for (int i = 0; i < TRIES && !ask(&old); i++) /* until its turn has come */
        usleep(TRY_US);
    cr_assert_neq(ask(&old), ERR_OK);
    cr_assert_eq(ask(&fresh), ERR_OK, "%s", last.why.text);
    caller_close(&old);
    caller_close(&fresh);
}

Test(tls, is_demanded_beyond_loopback)
{
    const char *settings[] = { "ASSAY_BIND=0.0.0.0", NULL };
    struct process p;

    process_launch(&p, "rules", settings);
    cr_assert_eq(process_wait(&p), 1);
}

Test(tls, needs_both_a_certificate_and_whom_to_trust)
{
    char cert[256], ca[256];
    const char *only_cert[] = { setting(cert, "ASSAY_TLS_CERT", "ours/rules/tls.pem"), NULL };
    const char *others_ca[] = { cert, setting(ca, "ASSAY_TLS_CA", "theirs/ca.pem"), NULL };
    struct process p;

    process_launch(&p, "rules", only_cert);
    cr_assert_eq(process_wait(&p), 1);
    shell("assay certs init --dir theirs", "");
    process_launch(&p, "rules", others_ca);
    cr_assert_eq(process_wait(&p), 1, "nobody would trust it");
}

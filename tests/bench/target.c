/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/target.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/report.h"

static const char transaction_start[] = "{\"type\":\"transaction\"";

static bool is_transaction(const char *line)
{
    return strncmp(line, transaction_start, sizeof transaction_start - 1) == 0;
}

static void read_services(struct target *t)
{
    const char *argv[] = { t->assay, "status", "--home", t->home, "--json", NULL };
    int status;
    json_t *said = child_json(argv, &status), *service;
    size_t i;

    if (!said)
        bench_fail("nothing runs in %s", t->home);
    snprintf(t->pg_url, sizeof t->pg_url, "%s", json_string_value(json_object_get(said, "pg_url")));
    json_array_foreach(json_object_get(said, "services"), i, service)
    {
        struct target_service *s = &t->services[t->service_count];

        if (t->service_count == TARGET_SERVICES_MAX)
            break;
        snprintf(s->name, sizeof s->name, "%s", json_string_value(json_object_get(service, "name")));
        s->pid = (pid_t)json_integer_value(json_object_get(service, "pid"));
        s->port = (int)json_integer_value(json_object_get(service, "port"));
        s->admin_port = (int)json_integer_value(json_object_get(service, "admin_port"));
        t->service_count++;
    }
    json_decref(said);
}

void target_open(struct target *t, int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;

    if (argc != 5)
        bench_fail("usage: %s ASSAY HOME STREAM KEY", argv[0]);
    *t = (struct target){ .assay = argv[1], .home = argv[2], .key = argv[4] };
    snprintf(t->slice_path, sizeof t->slice_path, "%s/slice.ndjson", t->home);
    t->stream = fopen(argv[3], "r");
    if (!t->stream)
        bench_fail("cannot read %s", argv[3]);
    while (getline(&line, &room, t->stream) > 0)
        t->left += is_transaction(line);
    free(line);
    rewind(t->stream);
    read_services(t);
}

void target_close(struct target *t)
{
    fclose(t->stream);
    unlink(t->slice_path);
}

const struct target_service *target_find(const struct target *t, const char *name)
{
    for (size_t i = 0; i < t->service_count; i++)
        if (strncmp(t->services[i].name, name, strlen(name)) == 0)
            return &t->services[i];
    bench_fail("no %s runs", name);
}

double target_metric(const struct target *t, const char *service, const char *series)
{
    char url[64];
    const char *argv[] = { "curl", "-s", "-m", "5", url, NULL };
    double sum = 0;
    char *text, *line, *rest;
    int status;

    snprintf(url, sizeof url, "http://127.0.0.1:%d/metrics", target_find(t, service)->admin_port);
    text = rest = child_read(argv, &status);
    while ((line = strsep(&rest, "\n")))
        if (strncmp(line, series, strlen(series)) == 0)
            sum += strtod(line + strlen(series), NULL);
    free(text);
    return sum;
}

/* Copies so many transactions, with the labels that stand between them. Returns how many there were. */
static size_t cut(struct target *t, size_t transactions)
{
    FILE *out = fopen(t->slice_path, "w");
    size_t count = 0, room = 0;
    char *line = NULL;

    if (!out)
        bench_fail("cannot write %s", t->slice_path);
    while (count < transactions && getline(&line, &room, t->stream) > 0) {
        count += is_transaction(line);
        fputs(line, out);
    }
    free(line);
    if (fclose(out))
        bench_fail("cannot write %s", t->slice_path);
    t->left -= count;
    return count;
}

json_t *target_send(struct target *t, const struct sending *s)
{
    const char *argv[24] = { t->assay, "replay", "--home", t->home, "--key", t->key, "--json", "--quiet" };
    char rate[32], in_flight[16], connections[16];
    size_t argc = 8;
    json_t *said;
    int status;

    if (!s->is_again && cut(t, s->transactions) == 0)
        bench_fail("the stream is used up: BENCH_TRANSACTIONS= makes it longer");
    if (s->rate > 0) {
        snprintf(rate, sizeof rate, "%.1f", s->rate);
        argv[argc++] = "--rate";
        argv[argc++] = rate;
    }
    if (s->in_flight) {
        snprintf(in_flight, sizeof in_flight, "%d", s->in_flight);
        argv[argc++] = "--in-flight";
        argv[argc++] = in_flight;
    }
    if (s->connections) {
        snprintf(connections, sizeof connections, "%d", s->connections);
        argv[argc++] = "--connections";
        argv[argc++] = connections;
    }
    if (s->url) {
        argv[argc++] = "--no-labels";
        argv[argc++] = "--url";
        argv[argc++] = s->url;
    }
    if (s->record) {
        argv[argc++] = "--record";
        argv[argc++] = s->record;
    }
    argv[argc++] = t->slice_path;
    argv[argc] = NULL;
    said = child_json(argv, &status);
    if (!said || status > 1)
        bench_fail("`assay replay` failed with status %d", status);
    return said;
}

double figure_of(const json_t *answer, const char *member, const char *inner)
{
    const json_t *value = json_object_get(answer, member);

    return json_number_value(inner ? json_object_get(value, inner) : value);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "fetch.h"

enum { PATIENCE_MS = 1000 };

static const char *const names[] = {
    [HEALTH_DOWN] = "down",         [HEALTH_SILENT] = "silent",   [HEALTH_NOT_READY] = "not ready",
    [HEALTH_NO_MODEL] = "no model", [HEALTH_STANDBY] = "standby", [HEALTH_READY] = "ready",
};
static_assert(ARRAY_LEN(names) == HEALTH_COUNT, "every health has a name");

const char *health_name(enum health h)
{
    return names[h];
}

/* What a service says of itself in /readyz that is no fault; it must be all that it has to say. */
static const struct {
    const char *line;
    enum health health;
} excuses[] = {
    { "champion: no champion", HEALTH_NO_MODEL },
    { "log: standby", HEALTH_STANDBY },
};

static enum health judge(const struct why *detail)
{
    for (size_t i = 0; i < ARRAY_LEN(excuses); i++)
        if (strncmp(detail->text, excuses[i].line, strlen(excuses[i].line)) == 0 &&
            !strstr(detail->text, "; "))
            return excuses[i].health;
    return HEALTH_NOT_READY;
}

/* The lines of /readyz?verbose that begin with "[-]", in one. */
static void gather_failures(struct buf *text, struct why *detail)
{
    const char *line = buf_str(text);
    size_t len = 0;

    while (line && *line) {
        size_t n = strcspn(line, "\n");

        if (strncmp(line, "[-] ", 4) == 0 && len + 1 < sizeof detail->text) {
            int put = snprintf(detail->text + len, sizeof detail->text - len, "%s%.*s", len ? "; " : "",
                               (int)n - 4, line + 4);

            len += put > 0 ? (size_t)put : 0;
        }
        line += n + (line[n] == '\n');
    }
}

enum health health_at(const char *url, struct why *detail)
{
    char path[512];
    struct buf body;
    int status = 0;
    enum err err;

    *detail = (struct why){ 0 };
    buf_init(&body, 0);
    snprintf(path, sizeof path, "%s/readyz?verbose", url);
    err = fetch(path, NULL, NULL, PATIENCE_MS, &status, &body, detail);
    if (!err && status != 200)
        gather_failures(&body, detail);
    buf_release(&body);
    if (err)
        return HEALTH_SILENT;
    return status == 200 ? HEALTH_READY : judge(detail);
}

enum health health_of(const struct process_state *p, struct why *detail)
{
    char url[64];

    *detail = (struct why){ 0 };
    if (p->phase == PROCESS_DONE)
        return HEALTH_READY;
    if (!process_is_alive(p->pid, p->start_ticks))
        return HEALTH_DOWN;
    if (!p->admin_port) /* PostgreSQL runs once its starter has seen it take connections; a step is under way
                         */
        return p->phase == PROCESS_RUNNING && strcmp(p->name, "postgres") == 0 ? HEALTH_READY
                                                                               : HEALTH_NOT_READY;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", p->admin_port);
    return health_at(url, detail);
}

bool health_is_up(const struct state *s, const enum health *health)
{
    bool is_up = s->process_count > 0, has_active = false;

    for (size_t i = 0; i < s->process_count; i++) {
        is_up = is_up && health[i] >= HEALTH_NO_MODEL;
        has_active = has_active || (health[i] == HEALTH_READY &&
                                    strncmp(s->processes[i].name, "features", strlen("features")) == 0);
    }
    return is_up && has_active;
}

bool health_is_well(const struct state *s, const enum health *health)
{
    bool is_well = health_is_up(s, health);

    for (size_t i = 0; i < s->process_count; i++)
        is_well = is_well && health[i] != HEALTH_NO_MODEL;
    return is_well;
}

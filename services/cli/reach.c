/* SPDX-License-Identifier: Apache-2.0 */
#include "reach.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void reach_url(const struct state *s, int port, char url[REACH_URL_BYTES])
{
    snprintf(url, REACH_URL_BYTES, "http%s://127.0.0.1:%d", s->is_tls ? "s" : "", port);
}

bool reach_api(struct reach *out, const char *home)
{
    struct state *s = mem_new(struct state);
    char path[PATH_MAX], url[REACH_URL_BYTES];
    size_t len = 0;

    out->urls[0] = out->ca[0] = '\0';
    if (home_find(path, home) && !state_read(path, s, NULL))
        for (size_t i = 0; i < s->process_count && len + REACH_URL_BYTES < REACH_URLS_BYTES; i++)
            if (strncmp(s->processes[i].name, "ingestion", strlen("ingestion")) == 0) {
                reach_url(s, s->processes[i].port, url);
                len += (size_t)snprintf(out->urls + len, REACH_URLS_BYTES - len, "%s%s", len ? "," : "", url);
            }
    if (s->is_tls && !home_path(out->ca, path, "certs/ca.pem"))
        len = 0;
    mem_free(s);
    return len > 0;
}

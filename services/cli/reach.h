/* SPDX-License-Identifier: Apache-2.0
 * reach.h - how a command reaches what `assay up` started in a home: over TLS when that runs with it. */
#ifndef ASSAY_CLI_REACH_H
#define ASSAY_CLI_REACH_H

#include <limits.h>
#include <stdbool.h>

#include "home.h"

enum { REACH_URL_BYTES = 64, REACH_URLS_BYTES = 1024 };

struct reach {
    char urls[REACH_URLS_BYTES]; /* "https://127.0.0.1:8080", commas between: every ingestion process */
    char ca[PATH_MAX];           /* PEM file, whom to trust; empty in the clear */
};

/* `home` as in home_find(). False when nothing runs there. */
bool reach_api(struct reach *out, const char *home);
/* The URL of a public listener. */
void reach_url(const struct state *s, int port, char url[REACH_URL_BYTES]);

#endif

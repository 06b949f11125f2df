/* SPDX-License-Identifier: Apache-2.0
 * visit.h - people who use the dashboard, for tests. */
#ifndef ASSAY_HARNESS_VISIT_H
#define ASSAY_HARNESS_VISIT_H

#include "harness/http.h"

struct pg_session;

#define VISIT_PASSWORD "correct horse battery staple"

/* The headers of one session. */
struct visit {
    char cookie[128], csrf[96];
};

/* A user who may log in with VISIT_PASSWORD. */
void visit_add_user(struct pg_session *pg, const char *name, const char *roles);
/* A session as log-in makes it, put straight into the table, last used at `seen`: "now()". */
struct visit visit_of(struct pg_session *pg, const char *name, const char *seen);
/* `v` NULL: nobody is logged in. `body` NULL: none, else JSON. */
struct http_said visit_ask(int port, const char *method, const char *path, const struct visit *v,
                           const char *body);
/* The same, for its status only. */
int visit_status(int port, const char *method, const char *path, const struct visit *v, const char *body);

#endif

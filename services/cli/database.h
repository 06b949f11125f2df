/* SPDX-License-Identifier: Apache-2.0
 * database.h - the database that a command works on: ASSAY_PG_URL (or what stands in the file
 * ASSAY_PG_URL_FILE), else the private cluster below ASSAY_HOME (./var when that is not set), which is
 * started when it does not run. */
#ifndef ASSAY_CLI_DATABASE_H
#define ASSAY_CLI_DATABASE_H

#include "base/err.h"

struct pg_session;

/* *conninfo is the caller's, for mem_free().   Errors are those of conf_load(), cluster_open() and
 * cluster_start(). */
MUST_USE enum err database_find(char **conninfo, struct why *why);
/* Connects, for pg_session_close(). */
MUST_USE enum err database_open(struct pg_session **out, struct why *why);
/* The same, and fails with ERR_CONFLICT when migrations are missing. */
MUST_USE enum err database_open_migrated(struct pg_session **out, struct why *why);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * relay.h - the network between the services, so that it can be cut.
 *
 *   ingestion --> line "scoring"  --> scoring
 *   any of us --> line "postgres" --> PostgreSQL's socket
 *
 * Bytes go through as they come. A line can be cut for all who use it or, on a Unix socket, for one process:
 *
 *   RESET    what is open ends, as by a firewall that forgot; new connections work
 *   REFUSED  what is open ends, and new connections are refused
 *   SILENT   nothing gets through in either direction, not even an end; what was sent arrives when it is over
 *
 * All lines live on a thread of their own; the functions may be called from another one. */
#ifndef ASSAY_CHAOS_RELAY_H
#define ASSAY_CHAOS_RELAY_H

#include <sys/types.h>

#include "base/err.h"

enum cut { CUT_NONE, CUT_RESET, CUT_REFUSED, CUT_SILENT };

enum { RELAY_LINES_MAX = 8 };

struct relay;

MUST_USE enum err relay_open(struct relay **out, struct why *why);
void relay_close(struct relay *r);

/* Opens a line that listens on a free port of the loopback, *port. It leads nowhere (connections end at once)
 * until relay_aim(). Lines are numbered from 0 in the order of their making, all of it before relay_start().
 */
MUST_USE enum err relay_add_port(struct relay *r, int *port, struct why *why);
/* Opens a line from one Unix socket to another. */
MUST_USE enum err relay_add_socket(struct relay *r, const char *path, const char *to, struct why *why);
MUST_USE enum err relay_start(struct relay *r, struct why *why);

void relay_aim(struct relay *r, size_t line, int port);
/* From now on; `pid` 0: for all. CUT_NONE heals that very cut. A RESET is over at once. */
void relay_cut(struct relay *r, size_t line, pid_t pid, enum cut cut);

#endif

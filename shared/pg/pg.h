/* SPDX-License-Identifier: Apache-2.0
 * pg.h - PostgreSQL by libpq, binary both ways.
 *
 *   value.h    parameters going in, columns coming out
 *   pool.h     asynchronous connections on the event loop: what services use
 *   session.h  one blocking connection: for the command line, tests and worker threads
 *
 * A server's error becomes `enum err` by the class of its SQLSTATE:
 *   ERR_INVALID      22, 23: the values cannot be stored (also a unique key that is taken)
 *   ERR_UNAVAILABLE  08, 40, 53, 55, 57, 25006: rolled back, and worth another try; also: no connection
 *   ERR_TIMEOUT      57014 (cancelled), or the unit's own deadline passed before anything was sent
 *   ERR_UNKNOWN      the connection ended, or the deadline passed, after a writing unit was sent and before
 *                    its commit was confirmed: look before writing again
 *   ERR_INTERNAL     all else: our SQL, our rights, our schema */
#ifndef ASSAY_PG_PG_H
#define ASSAY_PG_PG_H

#include "pg/pool.h"
#include "pg/session.h"
#include "pg/value.h"

#endif

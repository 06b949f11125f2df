/* SPDX-License-Identifier: Apache-2.0
 * part.h - a service that the pipeline calls, at one or several addresses, behind a circuit breaker.
 *
 *            calls fail                    Health/Check says SERVING
 *   closed ------------> open (calls end at once, a probe every 100 ms) ------------> closed
 *
 * A call fails when it is refused, when three time out in a row, or when one has, that had time enough, and a
 * probe then finds nobody there, or one that says that it does not serve.
 * An address that says UNAVAILABLE (a standby does) hands the call to the next one. So a part that is dead
 * costs nobody any waiting, and one that comes back is used again within a second. */
#ifndef ASSAY_INGESTION_PART_H
#define ASSAY_INGESTION_PART_H

#include <stdbool.h>

#include "grpc/client.h"
#include "loop/loop.h"

struct ingestion;
struct part;

enum { PART_ADDRESSES_MAX = 8 };

/* `addresses` is "host:port[,host:port]...", empty for a part that is not there at all.
 *   ERR_INVALID  an address cannot be read, or there are too many */
MUST_USE enum err part_open(struct part **out, struct ingestion *in, const char *name, const char *addresses,
                            const ProtobufCServiceDescriptor *service, struct why *why);
void part_close(struct part *part);

/* False when a call would end at once. */
bool part_is_usable(const struct part *part);

/* Calls `method`; `request` and `arena` must live until `done`, which is called exactly once and never from
 * within here. `parent` (may be NULL) is passed on as traceparent. */
void part_call(struct part *part, const char *method, const ProtobufCMessage *request,
               int64_t deadline_mono_us, const char *parent, struct arena *arena, grpc_done_fn *done,
               void *arg);

#endif

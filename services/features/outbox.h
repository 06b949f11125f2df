/* SPDX-License-Identifier: Apache-2.0
 * outbox.h - what ingestion has decided without features, on its way into the log. */
#ifndef ASSAY_FEATURES_OUTBOX_H
#define ASSAY_FEATURES_OUTBOX_H

struct features;

/* Reads the next rows on the session, which must be free, and makes them the open batch; says when to read
 * again in outbox_at_us, and in is_outbox_short whether that was all for now. */
void outbox_read(struct features *f);

#endif

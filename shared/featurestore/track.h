/* SPDX-License-Identifier: Apache-2.0
 * track.h - the tracks of a large entity: events or tiles in time order, and running totals over windows of
 * them. Internal to featurestore/.
 *
 *   cells:  [ c0 | c1 | c2 | c3 | c4 | c5 | c6 ]
 *                     ^ from         ^ to
 *
 * from and to move with the time that is asked about, either way; what they pass over is added to the totals
 * or taken back. Totals are integers, so that taking back is exact. They are only a cache over the cells: a
 * snapshot leaves them out.
 *
 * Events: int64 time, uint32 the entry's number (its low bits), uint32 flags, then values. Tiles: int32
 * number of the tile, then totals. */
#ifndef ASSAY_FEATURESTORE_TRACK_H
#define ASSAY_FEATURESTORE_TRACK_H

#include "featurestore/cells.h"

enum { EVENT_BYTES = 16, TILE_BYTES = 4 };

/* Adds the event; drops what an entity whose newest event is then does not hold any more. */
void track_insert(const struct track *t, unsigned char *large, int64_t newest_us, const struct event *event,
                  struct workshop *w);
/* Adds or takes back one fraud at the event's place. `bits` says which conditions held, by their fraud_bit.
 */
void track_label(const struct plan *p, const struct track *t, unsigned char *large, int64_t at_us,
                 uint32_t number, uint64_t bits, int change);
/* Makes the totals of a span hold for the window that ends at that moment. */
void track_count(const struct track *t, const struct span *s, unsigned char *large, const struct moment *at);
/* Whether what was read from a snapshot can have been written by this code. */
bool track_is_valid(const struct track *t, const unsigned char *large, int64_t newest_us);

#endif

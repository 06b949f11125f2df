/* SPDX-License-Identifier: Apache-2.0
 * pan.h - keeps card numbers (PANs) out: finds what is one by its shape, refuses it, redacts it.
 *
 * A candidate is a maximal run of 12 to 19 digits, joined by single spaces or hyphens (the typographic ones
 * too), that touches no letter and no decimal point: "4111 1111 1111 1111", "3782-822463-10005". It counts as
 * a card number when it passes Luhn's check (ISO/IEC 7812-1, annex B) and an issuer has its prefix at that
 * length. Where other digits stand before or behind ("order 12 4111 1111 1111 1111"), groups laid out like a
 * card are tried too.
 *
 * Guards against accidents, not against someone who spells a number out. Any thread, no state. */
#ifndef ASSAY_FRAUD_PAN_H
#define ASSAY_FRAUD_PAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Whether `text` holds a card number; then *at (may be NULL) is the run that does, within `text`. */
bool pan_find(struct slice text, struct slice *at);
bool pan_in_integer(int64_t value);

/* The stricter rule for a field that is about a card: any run of 12 to 19 digits, whoever issued it. A UUID
 * is not a run. */
bool pan_find_digits(struct slice text);

/* Adds `text` with each card number replaced by "[redacted]". For whatever is logged or sent back. */
void pan_redact(struct buf *out, struct slice text);

#endif

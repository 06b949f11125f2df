/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - zones from the machine's zone directory. */
#ifndef ASSAY_TESTS_CRON_FIXTURE_H
#define ASSAY_TESTS_CRON_FIXTURE_H

#include "base/buf.h"
#include "cron/zone.h"

void fixture_zone_bytes(const char *name, struct buf *out);
/* The caller's, to close. Fails the test where it cannot be had. */
struct zone *fixture_zone(const char *name);

#endif

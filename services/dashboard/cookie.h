/* SPDX-License-Identifier: Apache-2.0
 * cookie.h - the header Cookie of a request (RFC 6265 section 4.2.1). No I/O. */
#ifndef ASSAY_DASHBOARD_COOKIE_H
#define ASSAY_DASHBOARD_COOKIE_H

#include "base/slice.h"

/* The value of the first cookie of that name, without the quotes that may stand around it; a view of the header, empty
 * when there is none. */
struct slice cookie_find(struct slice header, struct slice name);

#endif

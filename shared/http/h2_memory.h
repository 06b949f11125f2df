/* SPDX-License-Identifier: Apache-2.0
 * h2_memory.h - nghttp2's memory from pieces.h: it takes about a dozen pieces for each stream. */
#ifndef ASSAY_HTTP_H2_MEMORY_H
#define ASSAY_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>

#include "base/pieces.h"

/* For nghttp2_session_*_new3(), which copies it; they must outlive the session. */
nghttp2_mem h2_memory(struct pieces *p);

#endif

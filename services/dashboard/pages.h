/* SPDX-License-Identifier: Apache-2.0
 * pages.h - the built pages, from memory.
 *
 * All files of a directory are read once, at start: so no request reaches the file system, no path can lead out of
 * it, and nothing blocks the loop. Links are passed over, and so is what has other characters in its path than letters,
 * digits, '.', '-' and '_'. A file "x.gz" is "x" for whoever takes gzip. What stands below assets/ has a hash in its
 * name and is kept for ever by browsers; the rest is asked for again, by ETag. A path that is no file and does not look
 * like one is a place within the application: index.html. */
#ifndef ASSAY_DASHBOARD_PAGES_H
#define ASSAY_DASHBOARD_PAGES_H

#include <stddef.h>

#include "base/err.h"

struct http_request;
struct pages;

enum { PAGES_FILES_MOST = 1000, PAGES_FILE_BYTES_MOST = 16 << 20, PAGES_BYTES_MOST = 128 << 20 };

/* `directory` empty: there are none. On success *out is the caller's.
 *   ERR_NOT_FOUND  no such directory, or without index.html   ERR_TOO_LARGE  more than the limits above */
MUST_USE enum err pages_open(struct pages **out, const char *directory, struct why *why);
void pages_close(struct pages *pages);

void pages_answer(const struct pages *pages, struct http_request *req);

#endif

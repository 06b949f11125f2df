/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/index.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"

static bool next_line(struct slice *text, char line[256])
{
    const char *end = memchr(text->ptr, '\n', text->len);
    size_t len = end ? (size_t)(end - text->ptr) : text->len;

    if (!end || len >= 256)
        return false;
    memcpy(line, text->ptr, len);
    line[len] = '\0';
    *text = slice_of(text->ptr + len + 1, text->len - len - 1);
    return true;
}

static bool read_chunk(struct index *index, const char *line)
{
    struct index_chunk c;
    int64_t before = index->count ? index->chunks[index->count - 1].until_us : INT64_MIN;

    if (sscanf(line, "chunk %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNu64 " %" SCNx64, &c.number,
               &c.from_us, &c.until_us, &c.rows, &c.bytes, &c.identity) != 6)
        return false;
    if (c.from_us < before || c.until_us <= c.from_us || index->count == INDEX_CHUNKS_MAX)
        return false;
    ARRAY_RESERVE_ONE(index->chunks, index->count, index->cap);
    index->chunks[index->count++] = c;
    return true;
}

static bool read_line(struct index *index, const char *line)
{
    struct index_mark m;

    if (sscanf(line, "mark %" SCNd64 " %" SCNu64, &m.at_us, &m.next) != 2)
        return read_chunk(index, line);
    if (index->mark_count == INDEX_MARKS)
        return false;
    index->marks[index->mark_count++] = m;
    return true;
}

enum err index_read(struct index *index, struct slice text, struct why *why)
{
    char line[256];
    bool is_good = text.len > 0 && next_line(&text, line);

    *index = (struct index){ 0 };
    is_good = is_good && sscanf(line, "assay history 1 %" SCNu64, &index->database) == 1;
    while (is_good && text.len)
        is_good = next_line(&text, line) && read_line(index, line);
    if (is_good)
        return ERR_OK;
    index_release(index);
    return err_set(why, ERR_INVALID, "this is no index of a history");
}

void index_write(const struct index *index, struct buf *out)
{
    buf_printf(out, "assay history 1 %" PRIu64 "\n", index->database);
    for (size_t i = 0; i < index->mark_count; i++)
        buf_printf(out, "mark %" PRId64 " %" PRIu64 "\n", index->marks[i].at_us, index->marks[i].next);
    for (size_t i = 0; i < index->count; i++) {
        const struct index_chunk *c = &index->chunks[i];

        buf_printf(out, "chunk %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n",
                   c->number, c->from_us, c->until_us, c->rows, c->bytes, c->identity);
    }
}

void index_release(struct index *index)
{
    mem_free(index->chunks);
    *index = (struct index){ 0 };
}

void index_mark(struct index *index, int64_t at_us, uint64_t next)
{
    if (index->mark_count && index->marks[index->mark_count - 1].at_us >= at_us)
        return;
    if (index->mark_count == INDEX_MARKS) {
        memmove(index->marks + 1, index->marks + 2, (INDEX_MARKS - 2) * sizeof *index->marks);
        index->mark_count--;
    }
    index->marks[index->mark_count++] = (struct index_mark){ at_us, next };
}

int64_t index_settled(const struct index *index, uint64_t oldest)
{
    int64_t settled = INT64_MIN;

    for (size_t i = 0; i < index->mark_count; i++) {
        if (index->marks[i].next <= oldest && index->marks[i].at_us > settled)
            settled = index->marks[i].at_us;
    }
    return settled;
}

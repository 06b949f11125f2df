/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/memory.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backtest/outcomes.h"
#include "backteststore/files.h"
#include "backteststore/run.h"
#include "base/array.h"

struct known_rule {
    unsigned char key[SHA256_BYTES];
    struct slice mapped;
    struct outcomes_of_rule *outcomes;
};

struct memory {
    const char *directory;
    const struct archive *history;
    pthread_mutex_t lock;
    struct known_rule **rules; /* each at its place for good */
    size_t count, cap;
    size_t bytes; /* without a directory: that were added */
};

static void rule_name(char name[96], const unsigned char key[SHA256_BYTES])
{
    char hex[SHA256_HEX_SIZE];

    hex_encode(key, SHA256_BYTES, hex);
    snprintf(name, 96, "rule-%s.outcomes", hex);
}

struct memory *memory_open(const char *directory, const struct archive *history)
{
    struct memory *m = mem_new(struct memory);

    m->directory = directory;
    m->history = history;
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

static struct known_rule *find(struct memory *m, const unsigned char key[SHA256_BYTES])
{
    struct known_rule *rule;
    char name[96];

    for (size_t i = 0; i < m->count; i++) {
        if (memcmp(m->rules[i]->key, key, SHA256_BYTES) == 0)
            return m->rules[i];
    }
    rule = mem_new(struct known_rule);
    memcpy(rule->key, key, SHA256_BYTES);
    rule_name(name, key);
    if (m->directory)
        rule->mapped = files_map(m->directory, name);
    rule->outcomes = rule_outcomes_open(rule->mapped);
    ARRAY_RESERVE_ONE(m->rules, m->count, m->cap);
    m->rules[m->count++] = rule;
    return rule;
}

static bool is_kept(void *context, uint64_t chunk)
{
    const struct archive *h = context;

    for (size_t i = 0; i < archive_chunks(h); i++) {
        if (archive_is_kept(h, i) && chunk_identity(archive_chunk(h, i)) == chunk)
            return true;
    }
    return false;
}

static const uint8_t *recall(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES])
{
    struct memory *m = context;
    const uint8_t *bits;

    pthread_mutex_lock(&m->lock);
    bits = rule_outcomes_find(find(m, key)->outcomes, chunk_identity(c), chunk_rows(c) / 4 + 1);
    pthread_mutex_unlock(&m->lock);
    return bits;
}

static void forget(struct memory *m)
{
    for (size_t i = 0; i < m->count; i++) {
        rule_outcomes_close(m->rules[i]->outcomes);
        files_unmap(m->rules[i]->mapped);
        mem_free(m->rules[i]);
    }
    m->count = m->bytes = 0;
}

/* What was recalled of a chunk is needed no more when something of it is kept. */
static void make_room(struct memory *m, size_t bytes)
{
    if (m->bytes + bytes > MEMORY_BYTES_MOST)
        forget(m);
    m->bytes += bytes;
}

static void keep(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES],
                 const uint8_t *bits, size_t bytes)
{
    struct memory *m = context;
    struct known_rule *rule;

    pthread_mutex_lock(&m->lock);
    if (!m->directory)
        make_room(m, bytes);
    rule = find(m, key);
    if (!rule_outcomes_find(rule->outcomes, chunk_identity(c), bytes) &&
        (!m->directory || is_kept((void *)(uintptr_t)m->history, chunk_identity(c))))
        rule_outcomes_add(rule->outcomes, chunk_identity(c), bits, bytes);
    pthread_mutex_unlock(&m->lock);
}

struct backtest_memory memory_calls(struct memory *m)
{
    return (struct backtest_memory){ recall, keep, m };
}

/* It is only a convenience: what cannot be written is found again. */
static void save(const struct memory *m, const struct known_rule *rule)
{
    struct buf bytes = { 0 };
    struct why why;
    char name[96];

    if (!rule_outcomes_changed(rule->outcomes))
        return;
    rule_name(name, rule->key);
    rule_outcomes_write(rule->outcomes, is_kept, (void *)(uintptr_t)m->history, &bytes);
    if (files_write(m->directory, name, buf_slice(&bytes), false, &why))
        files_remove(m->directory, name);
    buf_release(&bytes);
}

struct old_file {
    char name[96];
    int64_t at;
};

static int oldest_first(const void *a, const void *b)
{
    const struct old_file *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

static void forget_old(const struct memory *m)
{
    DIR *dir = opendir(m->directory);
    struct old_file *files = NULL;
    size_t count = 0, cap = 0;
    const struct dirent *entry;
    struct stat s;

    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "rule-", 5) != 0 || strlen(entry->d_name) >= sizeof files->name ||
            fstatat(dirfd(dir), entry->d_name, &s, 0) != 0)
            continue;
        ARRAY_RESERVE_ONE(files, count, cap);
        files[count].at = (int64_t)s.st_mtime;
        strcpy(files[count++].name, entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (count > BACKTEST_RULES_KEPT) {
        qsort(files, count, sizeof *files, oldest_first);
        for (size_t i = 0; i < count - BACKTEST_RULES_KEPT; i++)
            files_remove(m->directory, files[i].name);
    }
    mem_free(files);
}

void memory_close(struct memory *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count && m->directory; i++)
        save(m, m->rules[i]);
    forget(m);
    if (m->directory)
        forget_old(m);
    mem_free(m->rules);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}

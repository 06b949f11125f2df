/* SPDX-License-Identifier: Apache-2.0 */
#include "app/identity.h"

#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"

#define LOOK_EVERY_US (1 * SECOND_US)

enum { M_EXPIRES, M_RELOADS, M_COUNT };
static const struct metric metric_table[M_COUNT] = {
    [M_EXPIRES] = { "assay_tls_certificate_expires_timestamp_seconds",
                    METRIC_GAUGE,
                    "When the certificate in use ends, in seconds since 1970",
                    { "use" } },
    [M_RELOADS] = { "assay_tls_reloads_total",
                    METRIC_COUNTER,
                    "Changed certificate files taken, or found to be of no use (again at each look)",
                    { "use", "result" } },
};

/* One set of files, and what was said of it. */
struct files {
    const char *use; /* "services", "edge" */
    struct tls *tls; /* NULL: none */
    unsigned generation;
    struct why complaint;
    size_t expires, taken, refused; /* series */
};

enum { SERVICES, EDGE, USE_COUNT };

struct identity {
    struct files files[USE_COUNT];
    struct metric_set *metrics;
    struct loop_timer look;
};

static bool is_given(const char *text)
{
    return text && *text;
}

static void show_expiry(const struct identity *id, const struct files *f)
{
    metric_put(id->metrics, M_EXPIRES, f->expires, (double)tls_expires_us(f->tls) / 1e6);
}

static void look_at(struct identity *id, struct files *f)
{
    char until[RFC3339_SIZE];
    struct why why = { 0 };

    if (tls_look(f->tls, &why)) {
        metric_inc(id->metrics, M_RELOADS, f->refused);
        if (strcmp(f->complaint.text, why.text) != 0)
            log_event(LOG_ERROR, "tls_files_refused", "use=%s why=%s", f->use,
                      log_quoted(slice_str(why.text)));
    } else if (tls_generation(f->tls) != f->generation) { /* a new connection may have looked before us */
        f->generation = tls_generation(f->tls);
        rfc3339_format(tls_expires_us(f->tls), until);
        log_event(LOG_INFO, "tls_files_taken", "use=%s expires=%s", f->use, until);
        metric_inc(id->metrics, M_RELOADS, f->taken);
        show_expiry(id, f);
    }
    f->complaint = why;
}

void identity_look(struct identity *id)
{
    for (size_t i = 0; i < USE_COUNT; i++)
        if (id->files[i].tls)
            look_at(id, &id->files[i]);
}

static void on_look(void *arg)
{
    struct identity *id = arg;

    identity_look(id);
    loop_timer_set(&id->look, LOOK_EVERY_US);
}

static enum err open_files(struct identity *id, size_t which, const char *use, const struct tls_conf *conf,
                           struct why *why)
{
    struct files *f = &id->files[which];
    char until[RFC3339_SIZE];
    bool is_over;
    enum err err = tls_open(&f->tls, conf, why);

    if (err)
        return err;
    f->use = use;
    f->expires = metric_series(id->metrics, M_EXPIRES, use, NULL);
    f->taken = metric_series(id->metrics, M_RELOADS, use, "taken");
    f->refused = metric_series(id->metrics, M_RELOADS, use, "refused");
    show_expiry(id, f);
    is_over = tls_expires_us(f->tls) <= clock_wall_us();
    rfc3339_format(tls_expires_us(f->tls), until);
    log_event(is_over ? LOG_ERROR : LOG_INFO, is_over ? "tls_certificate_out_of_date" : "tls",
              "use=%s certificate=%s expires=%s", use, log_quoted(slice_str(conf->cert)), until);
    return ERR_OK;
}

enum err identity_open(struct identity **out, const struct identity_settings *s, struct loop *loop,
                       struct metrics *metrics, struct why *why)
{
    struct identity *id = mem_new(struct identity);
    enum err err = ERR_OK;

    loop_timer_init(&id->look, loop, on_look, id);
    if (is_given(s->cert) || is_given(s->https_cert))
        id->metrics = metrics_add(metrics, metric_table, M_COUNT);
    if (is_given(s->cert) != is_given(s->ca))
        err = err_set(why, ERR_INVALID, "ASSAY_TLS_CERT and ASSAY_TLS_CA go together");
    if (!err && is_given(s->cert))
        err = open_files(id, SERVICES, "services",
                         &(struct tls_conf){ .cert = s->cert, .key = s->key, .ca = s->ca, .allow = s->allow },
                         why);
    if (!err && is_given(s->https_cert))
        err = open_files(id, EDGE, "edge", &(struct tls_conf){ .cert = s->https_cert, .key = s->https_key },
                         why);
    if (err) {
        identity_close(id);
        id = NULL;
    } else if (id->metrics) {
        loop_timer_set(&id->look, LOOK_EVERY_US);
    }
    *out = id;
    return err;
}

void identity_close(struct identity *id)
{
    if (!id)
        return;
    loop_timer_release(&id->look);
    for (size_t i = 0; i < USE_COUNT; i++)
        tls_close(id->files[i].tls);
    mem_free(id);
}

struct tls *identity_services(const struct identity *id)
{
    return id->files[SERVICES].tls;
}

struct tls *identity_edge(const struct identity *id)
{
    return id->files[EDGE].tls;
}

enum err identity_check_bind(const struct identity_settings *settings, const struct tls *tls,
                             const char *bind, struct why *why)
{
    if (tls || settings->allows_cleartext || strncmp(bind, "127.", 4) == 0 || strcmp(bind, "::1") == 0)
        return ERR_OK;
    return err_set(
        why, ERR_INVALID,
        "ASSAY_BIND=%s would be open to others in the clear: give it a certificate (--help says how), "
        "or say ASSAY_ALLOW_CLEARTEXT=true",
        bind);
}

/* SPDX-License-Identifier: Apache-2.0
 * cmd_load.c - `assay load`: brings history into the log without deciding it, so that windows are not empty
 * on the first day. It goes through Features.Compute, as every transaction does: same ids, same log, same
 * state. */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/txn_json.h"
#include "base/array.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "database.h"
#include "fraud/canonical.h"
#include "grpc/client.h"
#include "home.h"
#include "http/tls.h"
#include "loop/loop.h"
#include "pg/session.h"
#include "proto/txn_proto.h"

enum { BATCH = 512, TRIES = 60, PROGRESS_EVERY = 100 };

struct load_settings {
    const char *home, *account, *until;
};

/* What ingestion converts amounts with; history must not differ. */
struct money_settings {
    const char *base_currency, *rates;
};
static const struct conf_field money_fields[] = {
    { "BASE_CURRENCY", CONF_TEXT, offsetof(struct money_settings, base_currency), BASE_CURRENCY_DEFAULT,
      "the currency in which features add up", 0, 0 },
    { "FX_RATES", CONF_TEXT, offsetof(struct money_settings, rates), FX_RATES_DEFAULT,
      "what one unit of each currency is worth, in any one of them", 0, 0 },
};

/* Where features is when not in the home, and who we are to it. */
struct features_settings {
    const char *address, *cert, *key, *ca;
};
#define AT(field) offsetof(struct features_settings, field)
static const struct conf_field features_fields[] = {
    { "FEATURES_ADDR", CONF_TEXT, AT(address), "", "features, several by commas", 0, 0 },
    { "TLS_CERT", CONF_TEXT, AT(cert), "", "PEM file, who this is", 0, 0 },
    { "TLS_KEY", CONF_TEXT, AT(key), "", "PEM file of its key, if that is another file", 0, 0 },
    { "TLS_CA", CONF_TEXT, AT(ca), "", "PEM file, whom to trust", 0, 0 },
};
#undef AT

static const struct option options[] = {
    { "home", OPTION_TEXT, offsetof(struct load_settings, home), "DIR",
      "where `assay up` runs (default: ./var)" },
    { "account", OPTION_TEXT, offsetof(struct load_settings, account), "NAME", "whose history it is" },
    { "until", OPTION_TEXT, offsetof(struct load_settings, until), "TIME",
      "stop before the first line known at or after this time (RFC 3339)" },
};

/* Lines of one kind wait here until there are BATCH of them or the other kind comes. */
struct load {
    struct loop *loop;
    struct features_settings where;
    struct arena settled; /* what stays for the whole run */
    char *pg_url;
    struct tls *tls; /* NULL: in the clear */
    struct grpc_channel *features;
    struct txn_rules rules;
    struct fx fx;
    struct arena arena;
    struct arena line; /* the values of the line that is being read */
    struct buf scratch;
    Assay__V1__ComputeRequest__Item *items[BATCH];
    Assay__V1__Label *labels[BATCH];
    size_t item_count, label_count;
    bool is_answered;
    enum err err;
    struct why why;
    size_t transactions, known, conflicts, told_labels, batches;
};

static void on_answer(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct load *l = arg;

    l->is_answered = true;
    l->err = err;
    if (err) {
        l->why = *why;
    } else if (reply->descriptor == &assay__v1__compute_response__descriptor) {
        const Assay__V1__ComputeResponse *r = (const Assay__V1__ComputeResponse *)reply;

        for (size_t i = 0; i < r->n_items; i++) {
            l->known += r->items[i]->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN;
            l->conflicts += r->items[i]->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT;
        }
    }
}

static enum err call_once(struct load *l, const char *method, const ProtobufCMessage *request)
{
    l->is_answered = false;
    grpc_call(l->features, &assay__v1__features__descriptor, method, request,
              clock_mono_us() + 30 * SECOND_US, &l->arena, on_answer, l);
    while (!l->is_answered)
        loop_turn(l->loop, true);
    return l->err;
}

/* Ids make it safe to send a batch again, whatever became of the first try. */
static enum err call(struct load *l, const char *method, const ProtobufCMessage *request)
{
    enum err err = call_once(l, method, request);

    for (int i = 1; i < TRIES && (err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT); i++) {
        usleep(500000);
        err = call_once(l, method, request);
    }
    return err;
}

static enum err flush(struct load *l)
{
    enum err err = ERR_OK;

    if (l->item_count) {
        Assay__V1__ComputeRequest request = ASSAY__V1__COMPUTE_REQUEST__INIT;

        request.items = l->items;
        request.n_items = l->item_count;
        err = call(l, "Compute", &request.base);
        l->transactions += l->item_count;
    } else if (l->label_count) {
        Assay__V1__AppendLabelsRequest request = ASSAY__V1__APPEND_LABELS_REQUEST__INIT;

        request.labels = l->labels;
        request.n_labels = l->label_count;
        err = call(l, "AppendLabels", &request.base);
        l->told_labels += l->label_count;
    }
    l->item_count = l->label_count = 0;
    arena_reset(&l->arena);
    if (++l->batches % PROGRESS_EVERY == 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "\rload: %zu transactions, %zu labels", l->transactions, l->told_labels);
    return err;
}

static void add_txn(struct load *l, const struct txn *txn)
{
    Assay__V1__ComputeRequest__Item *item = arena_new(&l->arena, Assay__V1__ComputeRequest__Item, 1);
    unsigned char *hash = arena_new(&l->arena, unsigned char, SHA256_BYTES);

    assay__v1__compute_request__item__init(item);
    txn_hash(txn, l->rules.is_simulated, &l->scratch, hash);
    item->transaction = txn_to_proto(txn, &l->arena);
    item->body_hash.data = hash;
    item->body_hash.len = SHA256_BYTES;
    l->items[l->item_count++] = item;
}

static enum err refuse(const struct faults *faults, size_t line_number, struct why *why)
{
    const struct fault *f = &faults->items[0];

    return err_set(why, ERR_INVALID, "line %zu: %.*s at %.*s", line_number, SLICE_ARG(f->detail),
                   SLICE_ARG(f->pointer));
}

/* *is_over is set when the line lies at or behind `until_us`. */
static enum err take_line(struct load *l, struct slice line, size_t number, int64_t until_us, bool *is_over,
                          struct why *why)
{
    struct faults faults = { .arena = &l->arena };
    struct json_value *json;
    bool is_label;
    int64_t known_at_us = INT64_MIN;
    enum err err;

    arena_reset(&l->line);
    err = json_read(&json, line, JSON_DEPTH_MAX, &l->line, why);
    if (err)
        return err_wrap(why, err, "line %zu", number);
    is_label = slice_eq(json_text(json_take_member(json, "type")), SLICE("label"));
    if (rfc3339_parse(json_text(json_member(json, "known_at")), &known_at_us) && known_at_us >= until_us) {
        *is_over = true;
        return ERR_OK;
    }
    if (l->item_count == BATCH || l->label_count == BATCH || (is_label ? l->item_count : l->label_count))
        err = flush(l);
    if (err) {
        *why = l->why;
    } else if (is_label) {
        struct label label;

        if (label_from_json(&label, json, &l->rules, NULL, &faults))
            l->labels[l->label_count++] = label_to_proto(&label, &l->arena);
        else
            err = refuse(&faults, number, why);
    } else {
        struct txn txn;

        if (txn_from_json(&txn, json, &l->rules, NULL, &faults))
            add_txn(l, &txn);
        else
            err = refuse(&faults, number, why);
    }
    return err;
}

static enum err load_stream(struct load *l, FILE *in, int64_t until_us, struct why *why)
{
    char *line = NULL;
    size_t room = 0, number = 0;
    bool is_over = false;
    enum err err = ERR_OK;
    ssize_t len;

    while (!err && !is_over && (len = getline(&line, &room, in)) > 0) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len)
            err = take_line(l, slice_of(line, (size_t)len), ++number, until_us, &is_over, why);
    }
    free(line);
    if (!err && flush(l)) {
        err = l->err;
        *why = l->why;
    }
    return err;
}

static enum err find_account(struct load *l, const char *pg_url, const char *name, struct why *why)
{
    struct pg_session *pg;
    struct pg_params params = { 0 };
    struct pg_result *row = NULL;
    enum err err = pg_session_open(&pg, pg_url, "assay load", why);

    if (err)
        return err;
    pg_add_text(&params, slice_str(name));
    err = pg_exec(pg, "SELECT account, clock, allow_numeric_ids FROM accounts WHERE name = $1::text", &params,
                  &row, why);
    if (!err && pg_rows(row) == 0)
        err =
            err_set(why, ERR_NOT_FOUND, "there is no account %s; make it with `assay accounts create`", name);
    if (!err) {
        l->rules.account = (uint32_t)pg_get_int(row, 0, 0);
        l->rules.is_simulated = slice_eq(pg_get_text(row, 0, 1), SLICE("simulated"));
        l->rules.allows_numeric_ids = pg_get_bool(row, 0, 2);
    }
    pg_result_free(row);
    pg_params_release(&params);
    pg_session_close(pg);
    return err;
}

/* Where features is: what `assay up` started, unless ASSAY_FEATURES_ADDR says otherwise. */
static enum err find_features(struct load *l, const struct load_settings *s, struct why *why)
{
    struct features_settings *f = &l->where;
    struct slice addresses = SLICE("");
    struct state state;
    char home[PATH_MAX];
    enum err err = conf_load(f, features_fields, ARRAY_LEN(features_fields), why);

    if (err)
        return err;
    if (*f->address)
        return database_find(&l->pg_url, why);
    if (!home_find(home, s->home) || state_read(home, &state, why))
        return err_set(why, ERR_NOT_FOUND, "no features service runs here; start with `assay up`");
    for (size_t i = 0; i < state.process_count; i++) /* a standby does not listen and is passed over */
        if (strncmp(state.processes[i].name, "features", strlen("features")) == 0)
            addresses = arena_printf(&l->settled, "%.*s%s127.0.0.1:%d", SLICE_ARG(addresses),
                                     addresses.len ? "," : "", state.processes[i].port);
    l->pg_url = mem_strdup(state.pg_url);
    f->address = addresses.ptr;
    if (state.is_tls) {
        f->cert = arena_printf(&l->settled, "%s/certs/assay/tls.pem", home).ptr;
        f->key = "";
        f->ca = arena_printf(&l->settled, "%s/certs/assay/ca.pem", home).ptr;
    }
    return ERR_OK;
}

static enum err connect_to(struct load *l, const struct load_settings *s, struct why *why)
{
    const struct features_settings *f = &l->where;
    struct http_client_conf conf = { .tls_name = "features" };
    enum err err = find_features(l, s, why);

    if (!err)
        err = find_account(l, l->pg_url, s->account, why);
    if (!err && *f->cert)
        err = tls_open(&l->tls, &(struct tls_conf){ .cert = f->cert, .key = f->key, .ca = f->ca }, why);
    if (err)
        return err;
    conf.address = f->address;
    conf.tls = l->tls;
    return grpc_channel_open(&l->features, l->loop, &conf, why);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct load_settings *s = settings;
    struct load *l = mem_new(struct load);
    struct money_settings money;
    struct why why = { 0 };
    int64_t until_us = INT64_MAX;
    enum exit_code code = EXIT_FAILED;
    FILE *in = operand_count && strcmp(operands[0], "-") != 0 ? fopen(operands[0], "r") : stdin;
    enum err err;

    buf_init(&l->scratch, 0);
    l->rules.fx = &l->fx;
    l->rules.now_us = clock_wall_us();
    if (!s->account || (s->until && !rfc3339_parse(slice_str(s->until), &until_us))) {
        code = command_fail(EXIT_USAGE, "%s",
                            s->account ? "--until takes a time such as 2018-06-01T00:00:00Z"
                                       : "--account NAME is needed");
        goto out;
    }
    if (!in) {
        command_fail(EXIT_FAILED, "%s: %s", operands[0], strerror(errno));
        goto out;
    }
    err = conf_load(&money, money_fields, ARRAY_LEN(money_fields), &why);
    if (!err)
        err = fx_parse(&l->fx, slice_str(money.rates), &why);
    l->rules.base_currency = slice_str(err ? "" : money.base_currency);
    if (!err)
        err = loop_open(&l->loop, &why);
    if (!err)
        err = connect_to(l, s, &why);
    if (!err)
        err = load_stream(l, in, until_us, &why);
    if (isatty(STDERR_FILENO))
        fputc('\r', stderr);
    if (err) {
        code = command_fail(err == ERR_NOT_FOUND ? EXIT_NOT_RUNNING : EXIT_FAILED, "%s", why.text);
    } else {
        printf("loaded %zu transactions (%zu were known) and %zu labels\n", l->transactions, l->known,
               l->told_labels);
        code = l->conflicts
                   ? command_fail(EXIT_FAILED, "%zu ids were taken by other transactions", l->conflicts)
                   : EXIT_DONE;
    }
out:
    if (l->features)
        grpc_channel_close(l->features);
    tls_close(l->tls);
    if (l->loop)
        loop_close(l->loop);
    if (in && in != stdin)
        fclose(in);
    buf_release(&l->scratch);
    arena_release(&l->arena);
    arena_release(&l->line);
    arena_release(&l->settled);
    mem_free(l->pg_url);
    mem_free(l);
    return code;
}

const struct command cmd_load = {
    .name = "load",
    .operands = "[FILE]",
    .purpose = "Bring history into the log without deciding it",
    .text =
        "Reads the stream that `assay simulate` and `assay import` write (standard input without FILE)\n"
        "and appends its transactions and labels to the log, so that windows know the past when the first\n"
        "decision is asked for. Safe to run again: known ids are left as they are.\n\n"
        "  assay import --mapping handbook transactions.csv.zst | assay load --account shop "
        "--until 2018-06-01T00:00:00Z\n\n"
        "Elsewhere than in --home, ASSAY_FEATURES_ADDR and ASSAY_PG_URL say where, and ASSAY_TLS_CERT and\n"
        "ASSAY_TLS_CA by which certificates: those of `assay` (docs/operations.md).",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .operands_most = 1,
    .settings_size = sizeof(struct load_settings),
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "oip.h"

#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "json/json.h"
#include "json/json_out.h"

/* One request is answered in one go, on the loop that decides payments: its work is capped at some 20 ms. */
enum {
    BODY_MAX = 2 << 20,
    ELEMENTS_MAX = 1 << 20,
    ROWS_MAX = 4096,
    EXACT_ROWS_MAX = 256,
    DIMENSIONS_MAX = 4,
    VERSIONS_MAX = 16,
};

static const char content_type[] = "application/json";

/* ---- answers ---- */

static void reply_buf(struct http_request *req, int status, struct buf *body)
{
    http_reply(req, &(struct http_reply){ .status = status, .type = content_type, .body = buf_slice(body) });
    buf_release(body);
}

static void reply_error(struct http_request *req, int status, struct slice text)
{
    struct buf body;
    struct json_out o;

    buf_init(&body, 0);
    o = json_out_to(&body);
    json_out_open(&o, NULL);
    json_out_text(&o, "error", text);
    json_out_end(&o);
    reply_buf(req, status, &body);
}

/* The protocol says "typically 400" for all that is wrong with a request. */
static void reply_err(struct http_request *req, enum err err, const struct why *why)
{
    int status = err_http_status(err);

    reply_error(req, status == 422 ? 400 : status, slice_str(why->text));
}

static void reply_flag(struct http_request *req, struct slice name, const char *key, bool flag)
{
    struct buf body;
    struct json_out o;

    buf_init(&body, 0);
    o = json_out_to(&body);
    json_out_open(&o, NULL);
    if (name.len)
        json_out_text(&o, "name", name);
    json_out_bool(&o, key, flag);
    json_out_end(&o);
    reply_buf(req, flag ? 200 : 503, &body);
}

bool oip_refuse(void *ctx, struct http_request *req, int status)
{
    (void)ctx;
    reply_error(req, status, slice_str(http_status_text(status)));
    return true;
}

/* ---- the server ---- */

static void on_live(void *service, struct http_request *req)
{
    (void)service;
    reply_flag(req, (struct slice){ 0 }, "live", true);
}

static void on_ready(void *service, struct http_request *req)
{
    const struct oip *oip = service;

    reply_flag(req, (struct slice){ 0 }, "ready", oip->is_ready(oip->arg));
}

static void on_server(void *service, struct http_request *req)
{
    struct buf body;
    struct json_out o;

    (void)service;
    buf_init(&body, 0);
    o = json_out_to(&body);
    json_out_open(&o, NULL);
    json_out_str(&o, "name", "assay");
    json_out_str(&o, "version", "1");
    json_out_list(&o, "extensions");
    json_out_end(&o);
    json_out_end(&o);
    reply_buf(req, 200, &body);
}

/* ---- a model ---- */

/* The version that the path names, else the champion. NULL, and the request is answered, when there is none.
 */
static struct model *find_model(const struct oip *oip, struct http_request *req)
{
    struct slice name = http_param(req, "name"), version = http_param(req, "version");
    struct model *m = version.ptr ? registry_version(oip->registry, name, version)
                                  : registry_find(oip->registry, name, "champion");
    struct model *any;
    struct slice text;

    if (m != NULL)
        return m;
    if (version.ptr)
        text = arena_printf(&req->arena, "model %.*s has no version %.*s that serves", SLICE_ARG(name),
                            SLICE_ARG(version));
    else if (registry_versions(oip->registry, name, &any, 1))
        text = arena_printf(&req->arena, "model %.*s has no champion; name a version", SLICE_ARG(name));
    else
        text = arena_printf(&req->arena, "no model %.*s", SLICE_ARG(name));
    reply_error(req, 404, text);
    return NULL;
}

static void on_model_ready(void *service, struct http_request *req)
{
    const struct model *m = find_model(service, req);

    if (m != NULL) /* what is loaded has scored its golden rows */
        reply_flag(req, bundle_name(m->bundle), "ready", true);
}

static void describe_tensor(struct json_out *o, const char *name, const char *datatype, int64_t width)
{
    json_out_open(o, NULL);
    json_out_str(o, "name", name);
    json_out_str(o, "datatype", datatype);
    json_out_list(o, "shape");
    json_out_int(o, NULL, -1);
    if (width > 0)
        json_out_int(o, NULL, width);
    json_out_end(o);
    json_out_end(o);
}

static void on_model(void *service, struct http_request *req)
{
    const struct oip *oip = service;
    const struct model *m = find_model(oip, req);
    struct model *versions[VERSIONS_MAX];
    struct json_out o;
    struct buf body;
    size_t count;

    if (m == NULL)
        return;
    buf_init(&body, 0);
    o = json_out_to(&body);
    json_out_open(&o, NULL);
    json_out_text(&o, "name", bundle_name(m->bundle));
    json_out_list(&o, "versions");
    count = registry_versions(oip->registry, bundle_name(m->bundle), versions, VERSIONS_MAX);
    for (size_t i = 0; i < count; i++)
        json_out_str(&o, NULL, versions[i]->version_text);
    json_out_end(&o);
    json_out_str(&o, "platform", "xgboost_ubj");
    json_out_list(&o, "inputs");
    for (size_t c = 0; c < m->columns; c++)
        describe_tensor(&o, m->names[c], "FP32", 0);
    json_out_end(&o);
    json_out_list(&o, "outputs");
    describe_tensor(&o, "score", "FP64", 0);
    describe_tensor(&o, "margin", "FP32", 0);
    describe_tensor(&o, "contributions", "FP64", (int64_t)m->columns + 1);
    json_out_end(&o);
    json_out_end(&o);
    reply_buf(req, 200, &body);
}

/* ---- tensors ---- */

/* What JSON may hold for a datatype. Floating types take null as "missing", since JSON has no NaN. */
static const struct datatype {
    const char *name;
    bool is_float, is_bool;
    double least, most;
} datatypes[] = {
    { "BOOL", false, true, 0, 1 },
    { "UINT8", false, false, 0, 255 },
    { "UINT16", false, false, 0, 65535 },
    { "UINT32", false, false, 0, 4294967295.0 },
    { "UINT64", false, false, 0, 18446744073709551615.0 },
    { "INT8", false, false, -128, 127 },
    { "INT16", false, false, -32768, 32767 },
    { "INT32", false, false, -2147483648.0, 2147483647.0 },
    { "INT64", false, false, -9223372036854775808.0, 9223372036854775807.0 },
    { "FP16", true, false, -65504, 65504 },
    { "FP32", true, false, -3.4028234663852886e38, 3.4028234663852886e38 },
    { "FP64", true, false, -1.7976931348623157e308, 1.7976931348623157e308 },
};

struct tensor {
    struct slice name;
    size_t dimensions, shape[DIMENSIONS_MAX], count;
    float *values; /* [count], row-major */
};

static const struct datatype *find_datatype(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(datatypes); i++)
        if (slice_eq_str(name, datatypes[i].name))
            return &datatypes[i];
    return NULL;
}

static enum err read_shape(struct tensor *t, const json_t *shape, struct why *why)
{
    t->dimensions = json_array_size(shape);
    t->count = 1;
    if (!json_is_array(shape) || t->dimensions < 1 || t->dimensions > DIMENSIONS_MAX)
        return err_set(why, ERR_INVALID, "input %.*s: shape must have 1 to %d dimensions", SLICE_ARG(t->name),
                       DIMENSIONS_MAX);
    for (size_t i = 0; i < t->dimensions; i++) {
        const json_t *size = json_array_get(shape, i);

        if (!json_is_integer(size) || json_integer_value(size) < 1 || json_integer_value(size) > ELEMENTS_MAX)
            return err_set(why, ERR_INVALID, "input %.*s: a dimension is not a positive integer",
                           SLICE_ARG(t->name));
        t->shape[i] = (size_t)json_integer_value(size);
        t->count *= t->shape[i];
        if (t->count > ELEMENTS_MAX)
            return err_set(why, ERR_TOO_LARGE, "input %.*s: too many elements", SLICE_ARG(t->name));
    }
    return ERR_OK;
}

static enum err read_element(float *out, const json_t *value, const struct datatype *type, struct slice name,
                             struct why *why)
{
    double number;

    if (json_is_null(value) && type->is_float) {
        *out = NAN;
        return ERR_OK;
    }
    if (type->is_bool && json_is_boolean(value)) {
        *out = json_is_true(value) ? 1.0F : 0.0F;
        return ERR_OK;
    }
    if (!json_is_number(value) || (!type->is_float && !json_is_integer(value)))
        return err_set(why, ERR_INVALID, "input %.*s: an element is not %s", SLICE_ARG(name), type->name);
    number = json_number_value(value);
    if (!(number >= type->least && number <= type->most))
        return err_set(why, ERR_INVALID, "input %.*s: an element is out of the range of %s", SLICE_ARG(name),
                       type->name);
    /* Features are float32 wherever they are served; what is beyond that is not a feature's value. */
    *out = (float)number;
    if (isinf(*out))
        return err_set(why, ERR_INVALID, "input %.*s: an element is out of the range of FP32",
                       SLICE_ARG(name));
    return ERR_OK;
}

/* One level of nested data: `at` runs through the values. */
static enum err read_nested(struct tensor *t, const json_t *data, size_t level, size_t *at,
                            const struct datatype *type, struct why *why)
{
    if (json_array_size(data) != t->shape[level])
        return err_set(why, ERR_INVALID, "input %.*s: data does not have the shape that it says",
                       SLICE_ARG(t->name));
    for (size_t i = 0; i < t->shape[level]; i++) {
        const json_t *item = json_array_get(data, i);
        enum err err;

        if (level + 1 < t->dimensions && !json_is_array(item))
            return err_set(why, ERR_INVALID, "input %.*s: data is neither nested as its shape nor flat",
                           SLICE_ARG(t->name));
        err = level + 1 < t->dimensions ? read_nested(t, item, level + 1, at, type, why)
                                        : read_element(&t->values[(*at)++], item, type, t->name, why);
        if (err)
            return err;
    }
    return ERR_OK;
}

static enum err read_tensor(struct tensor *t, const json_t *input, struct arena *arena, struct why *why)
{
    const json_t *data = json_object_get(input, "data");
    const struct datatype *type = find_datatype(json_slice(json_object_get(input, "datatype")));
    size_t at = 0, items;
    bool is_flat;
    enum err err;

    t->name = json_slice(json_object_get(input, "name"));
    if (!json_is_object(input) || t->name.len == 0)
        return err_set(why, ERR_INVALID, "an input without a name");
    if (type == NULL)
        return err_set(why, ERR_INVALID,
                       "input %.*s: datatype must be BOOL, UINT8 to UINT64, INT8 to INT64 or FP16 to "
                       "FP64",
                       SLICE_ARG(t->name));
    err = read_shape(t, json_object_get(input, "shape"), why);
    if (err)
        return err;
    items = json_array_size(data);
    if (!json_is_array(data) || items == 0)
        return err_set(why, ERR_INVALID, "input %.*s: data must be an array", SLICE_ARG(t->name));
    is_flat = !json_is_array(json_array_get(data, 0));
    if (is_flat && items != t->count)
        return err_set(why, ERR_INVALID, "input %.*s: %zu elements in a shape of %zu", SLICE_ARG(t->name),
                       items, t->count);
    t->values = arena_new(arena, float, t->count);
    if (!is_flat)
        return read_nested(t, data, 0, &at, type, why);
    for (size_t i = 0; i < items && !err; i++)
        err = read_element(&t->values[i], json_array_get(data, i), type, t->name, why);
    return err;
}

/* ---- inference ---- */

struct inference {
    struct model *model;
    struct arena *arena;
    size_t rows;
    float *features; /* [rows][columns] */
    struct slice id;
    bool has_id;
    bool wants_score, wants_margin, wants_contributions, is_exact;
    struct why *why;
};

static size_t find_feature(const struct model *m, struct slice name)
{
    for (size_t c = 0; c < m->columns; c++)
        if (slice_eq_str(name, m->names[c]))
            return c;
    return m->columns;
}

/* All features in one tensor of [rows, columns], in the model's order. */
static enum err take_matrix(struct inference *inf, const struct tensor *t)
{
    if (t->dimensions != 2 || t->shape[1] != inf->model->columns)
        return err_set(
            inf->why, ERR_INVALID,
            "input %.*s is no feature of the model; one tensor of all features has the shape [n, %zu]",
            SLICE_ARG(t->name), inf->model->columns);
    inf->rows = t->shape[0];
    inf->features = t->values;
    return ERR_OK;
}

static enum err take_column(struct inference *inf, const struct tensor *t, bool *has)
{
    size_t columns = inf->model->columns, column = find_feature(inf->model, t->name);

    if (column == columns)
        return err_set(inf->why, ERR_INVALID, "input %.*s is no feature of the model", SLICE_ARG(t->name));
    if (has[column])
        return err_set(inf->why, ERR_INVALID, "input %.*s is there twice", SLICE_ARG(t->name));
    if (t->count != t->shape[0])
        return err_set(inf->why, ERR_INVALID, "input %.*s must have the shape [n] or [n, 1]",
                       SLICE_ARG(t->name));
    if (inf->features == NULL) {
        inf->rows = t->count;
        if (inf->rows * columns > ELEMENTS_MAX)
            return err_set(inf->why, ERR_TOO_LARGE, "too many elements");
        inf->features = arena_new(inf->arena, float, inf->rows *columns);
    }
    if (t->count != inf->rows)
        return err_set(inf->why, ERR_INVALID, "input %.*s has %zu rows, another has %zu", SLICE_ARG(t->name),
                       t->count, inf->rows);
    has[column] = true;
    for (size_t i = 0; i < inf->rows; i++)
        inf->features[i * columns + column] = t->values[i];
    return ERR_OK;
}

static enum err take_inputs(struct inference *inf, const json_t *inputs)
{
    size_t count = json_array_size(inputs);
    bool *has = arena_new(inf->arena, bool, inf->model->columns + 1);

    if (!json_is_array(inputs) || count == 0)
        return err_set(inf->why, ERR_INVALID, "inputs must be an array of tensors");
    for (size_t i = 0; i < count; i++) {
        struct tensor t = { 0 };
        enum err err = read_tensor(&t, json_array_get(inputs, i), inf->arena, inf->why);

        if (!err && count == 1 && find_feature(inf->model, t.name) == inf->model->columns)
            return take_matrix(inf, &t);
        if (!err)
            err = take_column(inf, &t, has);
        if (err)
            return err;
    }
    for (size_t c = 0; c < inf->model->columns; c++)
        if (!has[c])
            return err_set(inf->why, ERR_INVALID,
                           "input %s is missing (null in its data says that a value is not known)",
                           inf->model->names[c]);
    return ERR_OK;
}

static enum err take_output(struct inference *inf, const json_t *output)
{
    struct slice name = json_slice(json_object_get(output, "name")), method;

    if (slice_eq_str(name, "score")) {
        inf->wants_score = true;
    } else if (slice_eq_str(name, "margin")) {
        inf->wants_margin = true;
    } else if (slice_eq_str(name, "contributions")) {
        inf->wants_contributions = true;
        method = json_slice(json_object_get(json_object_get(output, "parameters"), "method"));
        inf->is_exact = slice_eq_str(method, "shapley");
        if (!inf->is_exact && method.len && !slice_eq_str(method, "path"))
            return err_set(inf->why, ERR_INVALID, "the method of contributions is \"path\" or \"shapley\"");
        if (inf->is_exact && inf->model->shap == NULL)
            return err_set(inf->why, ERR_INVALID, "this model is too deep for the method \"shapley\"");
    } else {
        return err_set(inf->why, ERR_INVALID, "no output %.*s; there are score, margin and contributions",
                       SLICE_ARG(name));
    }
    return ERR_OK;
}

static enum err take_request(struct inference *inf, const json_t *request)
{
    const json_t *id = json_object_get(request, "id"), *outputs = json_object_get(request, "outputs");
    enum err err = ERR_OK;
    size_t most;

    if (!json_is_object(request))
        return err_set(inf->why, ERR_INVALID, "the request must be an object");
    if (json_is_string(id)) {
        inf->has_id = true;
        inf->id = json_slice(id);
    } else if (id != NULL && !json_is_null(id)) { /* clients send null where they mean none */
        return err_set(inf->why, ERR_INVALID, "id must be a text");
    }
    if (outputs == NULL || (json_is_array(outputs) && json_array_size(outputs) == 0)) {
        inf->wants_score = inf->wants_margin = true;
    } else if (!json_is_array(outputs)) {
        return err_set(inf->why, ERR_INVALID, "outputs must be an array");
    }
    for (size_t i = 0; i < json_array_size(outputs) && !err; i++)
        err = take_output(inf, json_array_get(outputs, i));
    if (!err)
        err = take_inputs(inf, json_object_get(request, "inputs"));
    most = inf->is_exact ? EXACT_ROWS_MAX : ROWS_MAX;
    if (!err && inf->rows > most)
        err = err_set(inf->why, ERR_TOO_LARGE, "%zu rows; at most %zu in one request", inf->rows, most);
    return err;
}

static void open_output(struct json_out *o, const char *name, const char *datatype, size_t rows, size_t width)
{
    json_out_open(o, NULL);
    json_out_str(o, "name", name);
    json_out_str(o, "datatype", datatype);
    json_out_list(o, "shape");
    json_out_int(o, NULL, (int64_t)rows);
    if (width)
        json_out_int(o, NULL, (int64_t)width);
    json_out_end(o);
    json_out_list(o, "data");
}

static void write_outputs(const struct inference *inf, struct json_out *o, const float *margins,
                          const double *contributions)
{
    size_t width = inf->model->columns + 1;

    if (inf->wants_score) {
        open_output(o, "score", "FP64", inf->rows, 0);
        for (size_t i = 0; i < inf->rows; i++)
            json_out_number(o, NULL, bundle_score(inf->model->bundle, margins[i]));
        json_out_end(o);
        json_out_end(o);
    }
    if (inf->wants_margin) {
        open_output(o, "margin", "FP32", inf->rows, 0);
        for (size_t i = 0; i < inf->rows; i++)
            json_out_number(o, NULL, (double)margins[i]);
        json_out_end(o);
        json_out_end(o);
    }
    if (inf->wants_contributions) {
        open_output(o, "contributions", "FP64", inf->rows, width);
        for (size_t i = 0; i < inf->rows * width; i++)
            json_out_number(o, NULL, contributions[i]);
        json_out_end(o);
        json_out_end(o);
    }
}

static void infer(const struct inference *inf, struct buf *body)
{
    struct model *m = inf->model;
    size_t width = m->columns + 1;
    float *margins = arena_new(inf->arena, float, inf->rows);
    double *contributions = arena_new(inf->arena, double, inf->wants_contributions ? inf->rows *width : 1);
    struct json_out o = json_out_to(body);

    if (!inf->wants_contributions)
        forest_margins(bundle_forest(m->bundle), inf->features, inf->rows, margins, m->scratch);
    for (size_t i = 0; inf->wants_contributions && i < inf->rows; i++) {
        memcpy(m->row, inf->features + i * m->columns, m->columns * sizeof *m->row);
        if (!inf->is_exact || !model_explain_exactly(m, &margins[i]))
            margins[i] = model_explain(m);
        memcpy(contributions + i * width, m->contributions, width * sizeof *contributions);
    }
    json_out_open(&o, NULL);
    json_out_text(&o, "model_name", bundle_name(m->bundle));
    json_out_str(&o, "model_version", m->version_text);
    if (inf->has_id)
        json_out_text(&o, "id", inf->id);
    json_out_list(&o, "outputs");
    write_outputs(inf, &o, margins, contributions);
    json_out_end(&o);
    json_out_end(&o);
}

static void on_infer(void *service, struct http_request *req)
{
    struct why why = { 0 };
    struct inference inf = { .model = find_model(service, req), .arena = &req->arena, .why = &why };
    json_t *request;
    struct buf body;
    enum err err;

    if (inf.model == NULL)
        return;
    err = json_parse(&request, req->body, JSON_DEPTH_MAX, &why);
    if (!err)
        err = take_request(&inf, request);
    if (err) {
        reply_err(req, err, &why);
    } else {
        buf_init(&body, 0);
        infer(&inf, &body);
        reply_buf(req, 200, &body);
    }
    json_decref(request);
}

const struct http_route oip_routes[] = {
    { "GET", "/v2", on_server, 0 },
    { "GET", "/v2/health/live", on_live, 0 },
    { "GET", "/v2/health/ready", on_ready, 0 },
    { "GET", "/v2/models/{name}", on_model, 0 },
    { "GET", "/v2/models/{name}/ready", on_model_ready, 0 },
    { "POST", "/v2/models/{name}/infer", on_infer, BODY_MAX },
    { "GET", "/v2/models/{name}/versions/{version}", on_model, 0 },
    { "GET", "/v2/models/{name}/versions/{version}/ready", on_model_ready, 0 },
    { "POST", "/v2/models/{name}/versions/{version}/infer", on_infer, BODY_MAX },
};
const size_t oip_route_count = ARRAY_LEN(oip_routes);

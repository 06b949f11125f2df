/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "stats/interval.h"

enum { USUAL_MERCHANTS = 8, TEXT_BYTES = 40, CITIES_MAX = 64 };

#define MEAN_RATE 1.0 /* payments a day; each customer's own lies between a fifth and nearly twice that */

struct city {
    double lat, lon;
    const char *country;
};

struct kind {
    const char *mcc;
    double level; /* typical amount in minor units */
    double spread;
    bool is_online, is_resalable;
};

/* The mix of merchants; each is as common as it stands here. */
static const struct kind kinds[] = {
    { "5411", 3500, 0.6, false, false }, /* groceries */
    { "5411", 2800, 0.6, false, false }, /* groceries */
    { "5541", 5500, 0.3, false, false }, /* fuel */
    { "5812", 3000, 0.7, false, false }, /* restaurants */
    { "5814", 1200, 0.4, false, false }, /* fast food */
    { "5912", 2200, 0.6, false, false }, /* pharmacies */
    { "5651", 6500, 0.6, false, false }, /* clothing */
    { "5732", 18000, 0.9, false, true }, /* electronics */
    { "5944", 25000, 0.9, false, true }, /* jewellery */
    { "5942", 2500, 0.6, true, false },  /* books, online */
    { "5815", 900, 0.5, true, false },   /* digital goods */
    { "5999", 4500, 0.8, true, false },  /* marketplace */
    { "5732", 16000, 0.9, true, true },  /* electronics, online */
    { "4511", 30000, 0.7, true, true },  /* flights */
};

struct merchant {
    uint32_t city;
    uint16_t kind;
    uint32_t terminals, first_terminal; /* none when it sells online */
};

struct customer {
    uint32_t city;
    float rate, level, spread; /* payments a day; factor on amounts; of its amounts */
    float online_share;
    uint32_t usual[USUAL_MERCHANTS];
    uint32_t merchants_online[3];
    uint8_t devices;
};

enum actor_kind { ACTOR_CUSTOMER, ACTOR_SOURCE, ACTOR_CAMPAIGN };

/* Whoever pays next: a customer, what starts campaigns, or a campaign. */
struct actor {
    int64_t at_us;
    uint64_t order; /* of equal times, the one that was put in first */
    enum actor_kind kind;
    uint32_t index;
};

struct campaign {
    enum scenario scenario;
    uint32_t customer, merchant, terminal, city;
    uint64_t device, ip;
    int64_t end_us;
    int left;
    double factor; /* on the amount, of the next payment */
};

struct simulate {
    struct simulate_params params;
    struct random random;
    struct city cities[CITIES_MAX];
    struct merchant *merchants;
    struct customer *customers;
    uint32_t merchant_count, terminal_count, city_count;
    struct actor *heap;
    size_t heap_count, heap_cap;
    struct campaign *campaigns; /* a slot is free when left is 0 */
    size_t campaign_count, campaign_cap;
    uint64_t order, number, device_number;
    char text[TXN_TEXT_COUNT][TEXT_BYTES], id[TEXT_BYTES];
};

static const char *const scenario_names[] = {
    [SCENARIO_GENUINE] = "genuine",
    [SCENARIO_LARGE_AMOUNT] = "large_amount",
    [SCENARIO_COMPROMISED_TERMINAL] = "compromised_terminal",
    [SCENARIO_STOLEN_CREDENTIALS] = "stolen_credentials",
    [SCENARIO_CARD_TESTING] = "card_testing",
    [SCENARIO_ACCOUNT_TAKEOVER] = "account_takeover",
};
static_assert(ARRAY_LEN(scenario_names) == SCENARIO_COUNT, "every scenario has a name");

const char *scenario_name(enum scenario scenario)
{
    return scenario_names[scenario];
}

double simulate_daily_rate(void)
{
    return MEAN_RATE;
}

/* ---- chance ---- */

static double unit(struct simulate *s)
{
    return random_unit(&s->random);
}

static double between(struct simulate *s, double low, double high)
{
    return low + (high - low) * unit(s);
}

static uint32_t below(struct simulate *s, uint32_t n)
{
    return (uint32_t)random_below(&s->random, n);
}

static double exponential(struct simulate *s, double mean)
{
    return -mean * log(1.0 - unit(s));
}

/* Box and Muller's, one of the pair. */
static double normal(struct simulate *s)
{
    double radius = sqrt(-2.0 * log(1.0 - unit(s)));

    return radius * cos(2.0 * 3.14159265358979323846 * unit(s));
}

/* ---- the queue of who pays next ---- */

static bool is_before(const struct actor *a, const struct actor *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void put(struct simulate *s, enum actor_kind kind, uint32_t index, int64_t at_us)
{
    struct actor actor = { .at_us = at_us, .order = s->order++, .kind = kind, .index = index };
    size_t at = s->heap_count;

    ARRAY_RESERVE_ONE(s->heap, s->heap_count, s->heap_cap);
    s->heap_count++;
    for (; at && is_before(&actor, &s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = actor;
}

static struct actor take(struct simulate *s)
{
    struct actor first = s->heap[0], moved = s->heap[--s->heap_count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count && is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!is_before(&s->heap[child], &moved))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = moved;
    return first;
}

/* ---- the world ---- */

static void make_cities(struct simulate *s)
{
    static const char *const countries[] = { "DE", "FR", "NL", "BE", "AT", "IT", "ES", "PL" };

    s->city_count = CITIES_MAX;
    for (uint32_t i = 0; i < s->city_count; i++) {
        s->cities[i].lat = floor(between(s, 36, 58) * 1e4) / 1e4;
        s->cities[i].lon = floor(between(s, -8, 24) * 1e4) / 1e4;
        s->cities[i].country = countries[i % ARRAY_LEN(countries)];
    }
}

static void make_merchants(struct simulate *s)
{
    s->merchant_count = s->params.customers / 8 + 64;
    s->merchants = mem_new_n(struct merchant, s->merchant_count);
    for (uint32_t i = 0; i < s->merchant_count; i++) {
        struct merchant *m = &s->merchants[i];

        m->kind = (uint16_t)(i % ARRAY_LEN(kinds));
        m->city = below(s, s->city_count);
        m->first_terminal = s->terminal_count;
        m->terminals = kinds[m->kind].is_online ? 0 : 1 + below(s, 3);
        s->terminal_count += m->terminals;
    }
}

static uint32_t any_merchant(struct simulate *s, bool is_online)
{
    for (;;) {
        uint32_t i = below(s, s->merchant_count);

        if (kinds[s->merchants[i].kind].is_online == is_online)
            return i;
    }
}

/* Mostly in the customer's own city: a few draws, the first that lies there. */
static uint32_t near_merchant(struct simulate *s, uint32_t city)
{
    uint32_t i = any_merchant(s, false);

    for (int draw = 0; draw < 200 && s->merchants[i].city != city; draw++)
        i = any_merchant(s, false);
    return i;
}

static int64_t next_payment(struct simulate *s, double rate, int64_t at_us);

static void make_customers(struct simulate *s)
{
    s->customers = mem_new_n(struct customer, s->params.customers);
    for (uint32_t i = 0; i < s->params.customers; i++) {
        struct customer *c = &s->customers[i];

        c->city = below(s, s->city_count);
        c->rate = (float)between(s, 0.2, 2.0 * MEAN_RATE - 0.2);
        c->level = (float)exp(0.4 * normal(s));
        c->spread = (float)between(s, 0.2, 0.5);
        c->online_share = (float)between(s, 0.05, 0.5);
        c->devices = (uint8_t)(1 + below(s, 2));
        for (size_t k = 0; k < USUAL_MERCHANTS; k++)
            c->usual[k] = near_merchant(s, c->city);
        for (size_t k = 0; k < ARRAY_LEN(c->merchants_online); k++)
            c->merchants_online[k] = any_merchant(s, true);
        put(s, ACTOR_CUSTOMER, i, next_payment(s, c->rate, s->params.start_us));
    }
}

/* How busy an hour of the day is, beside the mean of 1. */
static double rhythm(int64_t at_us)
{
    static const double hours[24] = { .15, .10, .08, .07, .08, .15, .4,  .9,  1.2, 1.3, 1.4, 1.6,
                                      1.8, 1.6, 1.4, 1.4, 1.6, 1.9, 1.9, 1.6, 1.2, .9,  .6,  .3 };

    return hours[(at_us / HOUR_US) % 24];
}

/* A Poisson process that follows the rhythm, by thinning (Lewis and Shedler 1979). */
static int64_t next_payment(struct simulate *s, double rate, int64_t at_us)
{
    const double busiest = 1.9;

    do {
        at_us += (int64_t)(exponential(s, (double)DAY_US / (rate * busiest))) + 1;
    } while (unit(s) * busiest > rhythm(at_us));
    return at_us;
}

/* ---- campaigns ---- */

/* How often each begins, per thousand customers and day, at a fraud factor of 1. */
static const double starts[SCENARIO_COUNT] = {
    [SCENARIO_LARGE_AMOUNT] = 0.6,       [SCENARIO_COMPROMISED_TERMINAL] = 0.05,
    [SCENARIO_STOLEN_CREDENTIALS] = 0.5, [SCENARIO_CARD_TESTING] = 0.04,
    [SCENARIO_ACCOUNT_TAKEOVER] = 0.4,
};

static void put_source(struct simulate *s, enum scenario scenario, int64_t at_us)
{
    double a_day = starts[scenario] * s->params.fraud_factor * (double)s->params.customers / 1000.0;

    if (a_day > 0)
        put(s, ACTOR_SOURCE, scenario, at_us + (int64_t)exponential(s, (double)DAY_US / a_day) + 1);
}

static uint64_t new_device(struct simulate *s)
{
    return ++s->device_number;
}

static void campaign_start(struct simulate *s, enum scenario scenario, int64_t at_us)
{
    struct campaign c = { .scenario = scenario, .factor = 1, .end_us = INT64_MAX };
    size_t slot = 0;

    c.customer = below(s, s->params.customers);
    c.device = new_device(s);
    c.ip = random_below(&s->random, 1 << 16);
    c.city = below(s, s->city_count);
    switch (scenario) {
    case SCENARIO_LARGE_AMOUNT:
        c.left = 1;
        c.factor = between(s, 6, 15);
        break;
    case SCENARIO_COMPROMISED_TERMINAL:
        c.merchant = any_merchant(s, false);
        c.terminal = s->merchants[c.merchant].first_terminal + below(s, s->merchants[c.merchant].terminals);
        c.left = 1 << 20;
        c.end_us = at_us + (int64_t)between(s, 7, 28) * DAY_US;
        break;
    case SCENARIO_STOLEN_CREDENTIALS:
        c.left = 3 + (int)below(s, 10);
        c.end_us = at_us + (int64_t)between(s, 1, 5) * DAY_US;
        break;
    case SCENARIO_CARD_TESTING:
        c.left = 20 + (int)below(s, 40);
        c.merchant = any_merchant(s, true);
        break;
    case SCENARIO_ACCOUNT_TAKEOVER:
        c.left = 2 + (int)below(s, 6);
        break;
    case SCENARIO_GENUINE:
    case SCENARIO_COUNT:
        return;
    }
    while (slot < s->campaign_count && s->campaigns[slot].left)
        slot++;
    if (slot == s->campaign_count) {
        ARRAY_RESERVE_ONE(s->campaigns, s->campaign_count, s->campaign_cap);
        s->campaign_count++;
    }
    s->campaigns[slot] = c;
    put(s, ACTOR_CAMPAIGN, (uint32_t)slot, at_us);
}

/* When a campaign pays again. */
static int64_t campaign_gap(struct simulate *s, const struct campaign *c)
{
    switch (c->scenario) {
    case SCENARIO_COMPROMISED_TERMINAL:
        return (int64_t)exponential(s, 4.0 * (double)HOUR_US) + 1;
    case SCENARIO_STOLEN_CREDENTIALS:
        return (int64_t)exponential(s, 5.0 * (double)HOUR_US) + 1;
    case SCENARIO_CARD_TESTING:
        return (int64_t)exponential(s, 12.0 * (double)SECOND_US) + 1;
    default:
        return (int64_t)exponential(s, 20.0 * (double)MINUTE_US) + 1;
    }
}

/* ---- one payment ---- */

struct payment {
    uint32_t customer, merchant, terminal, city;
    bool is_online, is_foreign_device;
    uint64_t device, ip;
    double factor;
    int64_t fixed_minor; /* when above 0, instead of what the merchant's kind would cost */
};

#define TEXT(s, field, ...) text_set((s), TXN_##field, txn, __VA_ARGS__)

static void text_set(struct simulate *s, enum txn_text field, struct txn *txn, const char *format, ...)
    PRINTF_LIKE(4, 5);

static void text_set(struct simulate *s, enum txn_text field, struct txn *txn, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(s->text[field], TEXT_BYTES, format, args);
    va_end(args);
    txn->text[field] = slice_of(s->text[field], (size_t)len);
}

static int64_t amount_of(struct simulate *s, const struct payment *p)
{
    const struct customer *c = &s->customers[p->customer];
    const struct kind *kind = &kinds[s->merchants[p->merchant].kind];
    double amount = kind->level * (double)c->level * exp((double)c->spread * kind->spread * 2 * normal(s));

    if (p->fixed_minor)
        return p->fixed_minor;
    amount *= p->factor;
    return amount < 50 ? 50 : (int64_t)(amount + 0.5);
}

static void pay(struct simulate *s, const struct payment *p, int64_t at_us, struct txn *txn)
{
    const struct merchant *m = &s->merchants[p->merchant];
    const struct customer *c = &s->customers[p->customer];
    const struct city *city = &s->cities[p->city];

    *txn = (struct txn){ .account = s->params.account, .occurred_at_us = at_us, .known_at_us = at_us };
    txn->id = slice_of(
        s->id, (size_t)snprintf(s->id, TEXT_BYTES, "s%" PRIx64 "t%" PRIu64 "", s->params.seed, s->number++));
    txn->currency = SLICE("USD");
    txn->amount_minor = txn->amount_base_minor = amount_of(s, p);
    TEXT(s, customer_id, "c%" PRIu32, p->customer);
    TEXT(s, card_id, "card_c%" PRIu32, p->customer);
    TEXT(s, merchant_id, "m%" PRIu32, p->merchant);
    TEXT(s, mcc, "%s", kinds[m->kind].mcc);
    TEXT(s, country, "%s", city->country);
    if (!p->is_online) {
        TEXT(s, channel, "pos");
        TEXT(s, terminal_id, "t%" PRIu32, p->terminal);
    } else {
        uint64_t ip = p->is_foreign_device ? p->ip : p->customer * UINT64_C(2654435761) >> 8 & 0xffff;

        TEXT(s, channel, "ecommerce");
        if (p->is_foreign_device)
            TEXT(s, device_id, "dx%" PRIu64, p->device);
        else
            TEXT(s, device_id, "d%" PRIu32 "n%d", p->customer, (int)(below(s, c->devices)));
        TEXT(s, ip, "198.%d.%d.%d", p->is_foreign_device ? 19 : 18, (int)(ip >> 8), (int)(ip & 255));
        TEXT(s, email_hash, "e%016" PRIx64, (p->customer + 1) * UINT64_C(0x9e3779b97f4a7c15));
    }
    txn->has_place = true;
    txn->lat = round((city->lat + between(s, -0.05, 0.05)) * 1e4) / 1e4;
    txn->lon = round((city->lon + between(s, -0.05, 0.05)) * 1e4) / 1e4;
}

static struct payment genuine(struct simulate *s, uint32_t customer)
{
    const struct customer *c = &s->customers[customer];
    struct payment p = { .customer = customer, .factor = 1, .city = c->city };

    p.is_online = unit(s) < (double)c->online_share;
    if (p.is_online)
        p.merchant = unit(s) < 0.7 ? c->merchants_online[below(s, ARRAY_LEN(c->merchants_online))]
                                   : any_merchant(s, true);
    else
        p.merchant = unit(s) < 0.9 ? c->usual[below(s, USUAL_MERCHANTS)] : any_merchant(s, false);
    if (!p.is_online) {
        const struct merchant *m = &s->merchants[p.merchant];

        p.terminal = m->first_terminal + below(s, m->terminals);
        p.city = m->city;
    }
    return p;
}

/* Goods that sell again, in a few draws. */
static uint32_t resalable(struct simulate *s)
{
    uint32_t i = any_merchant(s, true);

    for (int draw = 0; draw < 20 && !kinds[s->merchants[i].kind].is_resalable; draw++)
        i = any_merchant(s, true);
    return i;
}

static struct payment fraudulent(struct simulate *s, struct campaign *c)
{
    struct payment p = { .customer = c->customer,
                         .merchant = c->merchant,
                         .is_online = true,
                         .is_foreign_device = true,
                         .city = c->city,
                         .device = c->device,
                         .ip = c->ip,
                         .factor = c->factor };

    switch (c->scenario) {
    case SCENARIO_LARGE_AMOUNT:
        p.merchant = resalable(s);
        p.is_foreign_device = unit(s) < 0.5;
        p.city = p.is_foreign_device ? c->city : s->customers[c->customer].city;
        break;
    case SCENARIO_COMPROMISED_TERMINAL:
        p.customer = below(s, s->params.customers);
        p.terminal = c->terminal;
        p.city = s->merchants[c->merchant].city;
        p.is_online = p.is_foreign_device = false;
        break;
    case SCENARIO_STOLEN_CREDENTIALS:
        p.merchant = any_merchant(s, true);
        p.factor = between(s, 1.5, 4);
        if (unit(s) < 0.3) { /* another proxy */
            c->ip = random_below(&s->random, 1 << 16);
            c->device = new_device(s);
        }
        break;
    case SCENARIO_CARD_TESTING:
        p.customer = below(s, s->params.customers);
        p.fixed_minor = 1 + below(s, 200);
        break;
    case SCENARIO_ACCOUNT_TAKEOVER:
        p.merchant = resalable(s);
        c->factor *= 1.6;
        break;
    case SCENARIO_GENUINE:
    case SCENARIO_COUNT:
        break;
    }
    return p;
}

/* ---- the stream ---- */

/* Who says it, and after how long. */
static void judge(struct simulate *s, const struct txn *txn, bool is_fraud, struct label *label)
{
    static const struct {
        double share; /* of the frauds */
        enum label_source source;
        double least_days, median_days, most_days;
    } sources[] = {
        { 0.10, LABEL_ANALYST, 0.02, 0.2, 1 },
        { 0.20, LABEL_CUSTOMER, 0.1, 2, 14 },
        { 0.30, LABEL_ISSUER, 0.5, 3, 14 },
        { 0.40, LABEL_CHARGEBACK, 3, 14, 60 },
    };
    double draw = unit(s), days;
    size_t i = 0;

    while (i + 1 < ARRAY_LEN(sources) && draw >= sources[i].share)
        draw -= sources[i++].share;
    days = sources[i].median_days * exp(0.6 * normal(s));
    days = fmin(fmax(days, sources[i].least_days), sources[i].most_days);
    *label = (struct label){
        .account = txn->account, .transaction_id = txn->id, .is_fraud = is_fraud, .source = sources[i].source
    };
    label->known_at_us = label->labelled_at_us =
        txn->occurred_at_us + (int64_t)(days * (double)DAY_US / (double)SECOND_US) * SECOND_US;
}

struct simulate *simulate_new(const struct simulate_params *params)
{
    struct simulate *s = mem_new(struct simulate);

    s->params = *params;
    if (!s->params.customers)
        s->params.customers = 1;
    s->random.state = params->seed;
    make_cities(s);
    make_merchants(s);
    make_customers(s);
    for (int scenario = 1; scenario < SCENARIO_COUNT; scenario++)
        put_source(s, (enum scenario)scenario, params->start_us);
    return s;
}

void simulate_free(struct simulate *s)
{
    if (!s)
        return;
    mem_free(s->merchants);
    mem_free(s->customers);
    mem_free(s->heap);
    mem_free(s->campaigns);
    mem_free(s);
}

enum scenario simulate_next(struct simulate *s, struct txn *txn, struct label *label)
{
    for (;;) {
        struct actor actor = take(s);
        struct campaign *c;
        struct payment p;

        if (actor.kind == ACTOR_SOURCE) {
            campaign_start(s, (enum scenario)actor.index, actor.at_us);
            put_source(s, (enum scenario)actor.index, actor.at_us);
            continue;
        }
        if (actor.kind == ACTOR_CUSTOMER) {
            p = genuine(s, actor.index);
            pay(s, &p, actor.at_us, txn);
            judge(s, txn, false, label);
            put(s, ACTOR_CUSTOMER, actor.index, next_payment(s, s->customers[actor.index].rate, actor.at_us));
            return SCENARIO_GENUINE;
        }
        c = &s->campaigns[actor.index];
        if (actor.at_us > c->end_us) {
            c->left = 0;
            continue;
        }
        p = fraudulent(s, c);
        pay(s, &p, actor.at_us, txn);
        judge(s, txn, true, label);
        if (--c->left > 0)
            put(s, ACTOR_CAMPAIGN, actor.index, actor.at_us + campaign_gap(s, c));
        return c->scenario;
    }
}

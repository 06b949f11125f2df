/* SPDX-License-Identifier: Apache-2.0
 * conf_test.c - settings from the environment. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/mem.h"
#include "conf/conf.h"

struct settings {
    int64_t port, wait_ms;
    bool is_open;
    const char *url;
};

static const struct conf_field fields[] = {
    { "T_PORT", CONF_INT, offsetof(struct settings, port), "8080", "a port", 1, 65535 },
    { "T_WAIT", CONF_DURATION_MS, offsetof(struct settings, wait_ms), "150ms", "a wait", 0, 0 },
    { "T_OPEN", CONF_BOOL, offsetof(struct settings, is_open), "no", "a switch", 0, 0 },
    { "T_URL", CONF_TEXT, offsetof(struct settings, url), NULL, "an address", 0, 0 },
};

static enum err load(struct settings *s, struct why *why)
{
    return conf_load(s, fields, ARRAY_LEN(fields), why);
}

Test(conf, takes_the_environment_over_the_fallback)
{
    struct settings s;
    struct why why = { 0 };

    setenv("ASSAY_T_URL", "postgres://x", 1);
    setenv("ASSAY_T_WAIT", "2m", 1);
    setenv("ASSAY_T_OPEN", "on", 1);
    cr_assert_eq(load(&s, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(s.port, 8080);
    cr_assert_eq(s.wait_ms, 120000);
    cr_assert(s.is_open);
    cr_assert_str_eq(s.url, "postgres://x");
}

Test(conf, names_the_variable_and_the_value_that_it_cannot_read)
{
    static const struct {
        const char *name, *value, *said;
    } cases[] = {
        { "ASSAY_T_PORT", "eighty", "ASSAY_T_PORT=eighty cannot be read (a port)" },
        { "ASSAY_T_PORT", "70000", "ASSAY_T_PORT=70000 is not between 1 and 65535 (a port)" },
        { "ASSAY_T_WAIT", "5 weeks", "ASSAY_T_WAIT=5 weeks cannot be read (a wait)" },
        { "ASSAY_T_WAIT", "99999999999999999d", "ASSAY_T_WAIT=99999999999999999d cannot be read (a wait)" },
        { "ASSAY_T_OPEN", "maybe", "ASSAY_T_OPEN=maybe cannot be read (a switch)" },
    };

    setenv("ASSAY_T_URL", "x", 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings s;
        struct why why = { 0 };

        setenv(cases[i].name, cases[i].value, 1);
        cr_assert_eq(load(&s, &why), ERR_INVALID);
        cr_assert_str_eq(why.text, cases[i].said);
        unsetenv(cases[i].name);
    }
}

Test(conf, says_what_must_be_set)
{
    struct settings s;
    struct why why = { 0 };

    cr_assert_eq(load(&s, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "ASSAY_T_URL is not set (an address)");
}

Test(conf, reads_a_secret_from_the_file_that_the_twin_variable_names)
{
    struct settings s;
    struct why why = { 0 };
    char path[] = "/tmp/conf_test_XXXXXX";
    int fd = mkstemp(path);

    cr_assert_eq(write(fd, "secret\n", 7), 7);
    close(fd);
    setenv("ASSAY_T_URL_FILE", path, 1);
    cr_assert_eq(load(&s, &why), ERR_OK, "%s", why.text);
    cr_assert_str_eq(s.url, "secret");
    unlink(path);
    mem_free((char *)s.url); /* else it stays as long as the process */
}

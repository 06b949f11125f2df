/* SPDX-License-Identifier: Apache-2.0
 * main.c - `assay`, everything an operator types: finds the command, reads its options, runs it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "command.h"
#include "log/log.h"

static void print_list(FILE *out)
{
    fprintf(out, "assay - real-time fraud detection\n\n"
                 "usage: assay <command> [options]\n\n"
                 "commands\n");
    for (size_t i = 0; i < command_count; i++)
        fprintf(out, "  %-16s %s\n", commands[i]->name, commands[i]->purpose);
    fprintf(out,
            "\n`assay help <command>` says what it does, with examples.\n"
            "Every command takes --home DIR: where `assay up` keeps everything (ASSAY_HOME, else ./var).\n"
            "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not running, 4 not found.\n");
}

/* "rules", of which there are "rules check" and others. */
static bool is_group(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < command_count; i++) {
        if (strncmp(commands[i]->name, word, len) == 0 && commands[i]->name[len] == ' ')
            return true;
    }
    return false;
}

/* What there is instead of the command that there is not. */
static enum exit_code fail_unknown(char **argv, size_t argc)
{
    struct buf known = { 0 };
    size_t len = strlen(argv[0]);

    if (!is_group(argv[0]))
        return command_fail(EXIT_USAGE, "no command \"%s\"; `assay help` lists them", argv[0]);
    for (size_t i = 0; i < command_count; i++) {
        if (strncmp(commands[i]->name, argv[0], len) == 0 && commands[i]->name[len] == ' ')
            buf_printf(&known, "%s%s", known.len ? ", " : "", commands[i]->name + len + 1);
    }
    if (argc > 1)
        command_fail(EXIT_USAGE, "no command \"%s %s\"; of %s there are %s", argv[0], argv[1], argv[0],
                     buf_str(&known));
    else
        command_fail(EXIT_USAGE, "%s what? There are %s", argv[0], buf_str(&known));
    buf_release(&known);
    return EXIT_USAGE;
}

static bool asks_for_help(char **argv, size_t argc)
{
    for (size_t i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static enum exit_code help(char **argv, size_t argc)
{
    size_t taken;
    const struct command *c = command_find(argv, argc, &taken);

    if (argc && !c)
        return fail_unknown(argv, argc);
    if (c)
        command_help(stdout, c);
    else
        print_list(stdout);
    return EXIT_DONE;
}

/* Every command takes --home DIR: one that has no such option of its own gets it as ASSAY_HOME. Takes it out
 * of `argv` and returns what is left. */
static size_t take_home(const struct command *c, char **argv, size_t argc)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->option_count; i++)
        if (strcmp(c->options[i].name, "home") == 0)
            return argc;
    for (size_t i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--home=", strlen("--home=")) == 0)
            setenv("ASSAY_HOME", argv[i] + strlen("--home="), 1);
        else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
            setenv("ASSAY_HOME", argv[++i], 1);
        else
            argv[kept++] = argv[i];
    }
    return kept;
}

static enum exit_code run(const struct command *c, char **argv, size_t argc)
{
    struct why why = { 0 };
    void *settings = mem_alloc(1, c->settings_size);
    size_t operands;
    enum exit_code code;

    argc = take_home(c, argv, argc);
    if (c->defaults)
        memcpy(settings, c->defaults, c->settings_size);
    if (options_read(settings, c->options, c->option_count, argv, argc, &operands, &why))
        code = command_fail(EXIT_USAGE, "%s; see `assay help %s`", why.text, c->name);
    else if (operands < c->operands_least || operands > c->operands_most)
        code = command_fail(EXIT_USAGE, "usage: assay %s %s; see `assay help %s`", c->name, c->operands,
                            c->name);
    else {
        argv[operands] = NULL;
        code = c->run(settings, argv, operands);
    }
    mem_free(settings);
    return code;
}

int main(int argc, char **argv)
{
    const struct command *c;
    size_t rest = (size_t)argc - 1, taken;

    log_open("assay", LOG_ERROR); /* a person is told by words, not by events */
    argv++;
    if (!rest) {
        print_list(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[0], "help") == 0)
        return (int)help(argv + 1, rest - 1);
    c = command_find(argv, rest, &taken);
    if (asks_for_help(argv, rest))
        return (int)help(argv, c ? rest : 0);
    if (!c)
        return (int)fail_unknown(argv, rest);
    return (int)run(c, argv + taken, rest - taken);
}

# SPDX-License-Identifier: Apache-2.0
# One Makefile, no recursion: a new file or service needs no edit here.
#   make demo | test | all | web | lint | layers | format | setup       SAN=address,undefined builds beside the plain build
SAN    ?=
WERROR ?= -Werror
comma  := ,
B      ?= build/$(or $(subst $(comma),-,$(SAN)),plain)
CC     := $(if $(shell command -v ccache 2>/dev/null),ccache )$(CC)
MAKEFLAGS += --jobs=$(shell nproc)
PKGS   := libevent libevent_openssl libssl libcrypto libnghttp2 libprotobuf-c libcurl libpq jansson libsodium \
          libcyaml yaml-0.1 libpcre2-8 libzstd

# Without the packages there is nothing that could be built: they come first, once.
SETUP_STAMP := build/.setup-$(shell sha256sum scripts/packages.txt 2>/dev/null | cut -c1-12)
NEEDS_SETUP := $(filter-out setup format clean,$(or $(MAKECMDGOALS),all))
ifneq ($(NEEDS_SETUP),)
ifeq ($(wildcard $(SETUP_STAMP)),)
SETUP_RESULT := $(shell scripts/setup $(SETUP_STAMP) >&2 || echo failed)
ifneq ($(SETUP_RESULT),)
$(error setup failed: see the lines above)
endif
endif
endif

override CPPFLAGS += -Ishared -I$(B)/gen -Itests -D_GNU_SOURCE -MMD -MP $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
override CFLAGS   += -std=c17 -O2 -g -fno-omit-frame-pointer -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla \
                     $(WERROR) -Wstrict-prototypes -Wmissing-prototypes \
                     $(SAN:%=-fsanitize=% -fno-sanitize-recover=all)
override LDFLAGS  += $(SAN:%=-fsanitize=%) -Wl,--as-needed
override LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lhttp_parser -lxgboost -lpthread -lm

objs     = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
bins    := $(patsubst services/%/main.c,$(B)/bin/%,$(filter-out services/cli/main.c,$(wildcard services/*/main.c))) \
           $(if $(wildcard services/cli/main.c),$(B)/bin/assay)
lib     := $(B)/libshared.a
protos  := $(wildcard shared/proto/*.proto)
gen_h   := $(protos:shared/%.proto=$(B)/gen/%.pb-c.h)
gen_o   := $(gen_h:.h=.o) $(B)/gen/migrations.o
tests   := $(if $(wildcard tests/unit/*/*.c),$(B)/unit) $(if $(wildcard tests/service/*.c),$(B)/service) \
           $(patsubst tests/e2e/%.c,$(B)/e2e/%,$(wildcard tests/e2e/*.c)) $(B)/bench/overload_bench
fuzzers := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
benches := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*_bench.c))

# The dashboard's pages: made once, and again when one of their files has changed.
web_from := scripts/web $(shell find services/dashboard/web -name node_modules -prune -o -type f -print 2>/dev/null)
.PHONY: all bins web interop test compose-test unit bench chaos fuzz fuzzers setup demo lint layers format clean
.SECONDEXPANSION:
.SECONDARY:
all: $(bins) $(tests) $(fuzzers)
bins: $(bins)

setup:
	@scripts/setup $(SETUP_STAMP)
web: build/web/index.html
build/web/index.html: $(web_from)
	@scripts/web && touch $@
demo: all web
	@scripts/demo
test: all web
	@scripts/test $(B)
# The containers, for real: needs Docker, or root and Debian's packages of it.
compose-test: $(B)/bin/assay
	@scripts/compose-test $<
unit: $(B)/unit
	@./$<
# BENCH_ONLY=forest,rules runs parts; tests/bench/README.md tells what is measured. Nothing here asserts a time.
bench: $(bins) $(benches)
	@scripts/bench $(B)
# ROUNDS=10 SEED=...: load while parts are killed, stopped and cut off, and the proof that nothing was lost; then the
# same of models that are trained, promoted and rolled back. ONLY= has a part of it.
chaos: all
	@scripts/chaos $(B)
	@[ -n "$(ONLY)" ] || scripts/lifecycle $(B)
# SECONDS_EACH=60; without a fuzzer (`make test`) each target is given its corpus only.
fuzz:
	@scripts/fuzz $(SECONDS_EACH)
fuzzers: $(fuzzers)
# Clients and tools that others wrote, against a running cluster.
interop: all
	@scripts/interop
lint: $(gen_h)
	@scripts/lint $(B)
layers:
	@scripts/layers
format:
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i
clean:
	rm -rf build

$(filter-out %/assay,$(bins)): $(B)/bin/%: $$(call objs,services/$$*/*.c) $(lib)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/bin/assay: $(call objs,services/cli/*.c) $(lib)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/unit: $(call objs,tests/unit/*/*.c) $(B)/tests/harness/receiver.o $(filter-out %/main.o,$(call objs,services/*/*.c)) $(lib)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcriterion
$(B)/service: $(call objs,tests/service/*.c) $(call objs,tests/harness/*.c) $(B)/tests/unit/bundle/samples.o $(lib)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcriterion
# One file, one program: what drives a whole cluster, and what measures.
bench_parts := $(filter-out %_bench.o,$(call objs,tests/bench/*.c))
$(benches): $(B)/%: $(B)/tests/%.o $(bench_parts) $(lib)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# One that needs more files has them in a folder of its name, and lifecycle those of chaos too.
$(B)/e2e/lifecycle: $(call objs,tests/e2e/chaos/*.c)
$(patsubst tests/e2e/%.c,$(B)/e2e/%,$(wildcard tests/e2e/*.c)): $(B)/%: $(B)/tests/%.o $$(call objs,tests/$$*/*.c) $(lib)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(lib) $(LDLIBS)
fuzz_main := $(if $(findstring fuzzer,$(SAN)),-fsanitize=fuzzer,$(B)/tests/fuzz/replay.o)
$(fuzzers): $(B)/fuzz/%: $(B)/tests/fuzz/%.o $(filter %.o,$(fuzz_main)) $(B)/libparts.a $(lib)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(filter -f%,$(fuzz_main)) $(LDLIBS)
# What a fuzz target may need beside the library: fixtures of unit tests, and the services without their mains.
$(B)/libparts.a: $(call objs,tests/unit/*/fixture.c) $(filter-out %/main.o,$(call objs,services/*/*.c))
	@rm -f $@ && $(AR) rcs $@ $^
$(lib): $(call objs,shared/*/*.c) $(gen_o)
	@rm -f $@ && $(AR) rcs $@ $^
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: shared/%.proto
	@mkdir -p $(@D)
	@protoc-c --proto_path=shared --c_out=$(B)/gen $<
# The directory is a prerequisite too, so that a removed file is noticed.
$(B)/gen/migrations.c: $(sort $(wildcard migrations/*.sql)) migrations scripts/embed_migrations
	@mkdir -p $(@D)
	@scripts/embed_migrations $(filter %.sql,$^) >$@.new && mv $@.new $@
# What protoc-c writes is not held to our warnings.
$(B)/gen/%.o: $(B)/gen/%.c
	@$(CC) $(CPPFLAGS) $(filter-out -W%,$(CFLAGS)) -c -o $@ $<
$(B)/%.o: %.c Makefile | $(gen_h)
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# threadlab: `make help` lists the targets.
#
# A new .c or .S file below harness/, impls/<name>/ or suites/<topic>/ is found by itself: nothing is to
# be edited here. Each configuration has its own folder, build/<config>/.
#
#   CC= CFLAGS= CPPFLAGS= LDFLAGS=   as usual; CFLAGS replaces optimisation and debug flags only
#   CONFIG=release|debug|asan|tsan|inject   which build
#   ARCH=x86_64|aarch64              target architecture, when it is not CC's: cross-builds in build/ARCH/
#   PYTHON=                          default: the first that can import matplotlib
#   V=1                              print the commands

VERSION := 0.1.0
CONFIG ?= release
PRESET ?= standard
TIME ?= 20s
PREFIX ?= /usr/local

ifeq ($(origin CC),default)
CC := gcc
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh
Q := $(if $(V),,@)
comma := ,

# ---- configurations ---------------------------------------------------------------------------------

CFLAGS_release := -O2 -g
CFLAGS_debug := -Og -g3
CFLAGS_asan := -O1 -g
CFLAGS_tsan := -O1 -g
CFLAGS_inject := -O2 -g
# Named points and faults inside the implementations (harness/inject.h).
SANITIZE_inject := -DTL_INJECT
SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZE_tsan := -fsanitize=thread -fno-omit-frame-pointer
ifeq ($(filter $(CONFIG),release debug asan tsan inject),)
$(error CONFIG=$(CONFIG): expected release, debug, asan, tsan or inject)
endif
# Another architecture than that of the compiler: its own folder, and Debian's cross compiler with the
# libraries that scripts/lab fetches.
ifneq ($(filter command line environment,$(origin ARCH)),)
ifneq ($(ARCH),$(firstword $(subst -, ,$(shell $(CC) -dumpmachine))))
CROSS := $(ARCH)/
override CC := $(filter ccache,$(firstword $(CC))) $(ARCH)-linux-gnu-gcc
SYSROOT := build/lab/sysroot
SYSROOT_LIB := $(SYSROOT)/usr/lib/$(ARCH)-linux-gnu
PKG_CFLAGS := -I$(SYSROOT)/usr/include -I$(SYSROOT)/usr/include/$(ARCH)-linux-gnu
PKG_LDFLAGS := -L$(SYSROOT_LIB) -Wl,-rpath-link,$(SYSROOT_LIB)
endif
endif
B := build/$(CROSS)$(CONFIG)
THREADLAB := $(B)/threadlab

# Each of these is asked at its first use, and then keeps the answer.
ifeq ($(origin ARCH),undefined)
ARCH = $(eval ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null || uname -m))))$(ARCH)
endif
ifeq ($(origin PYTHON),undefined)
PYTHON = $(eval PYTHON := $(shell scripts/deps --python))$(PYTHON)
endif
PKGS := hwloc jansson libmd
# Where pkg-config is absent or broken the libraries are looked for in the usual places.
pkg_flags = $(filter $(2),$(shell flags=$$(pkg-config $(1) $(PKGS) 2>/dev/null) && echo "$$flags"))
ifndef CROSS
PKG_CFLAGS = $(eval PKG_CFLAGS := $(call pkg_flags,--cflags,-I% -D%))$(PKG_CFLAGS)
PKG_LDFLAGS = $(eval PKG_LDFLAGS := $(call pkg_flags,--libs-only-L,-L%))$(PKG_LDFLAGS)
endif

CFLAGS ?= $(CFLAGS_$(CONFIG))
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
# 64-byte alignment of functions and loops: without it the padding before a function moved a context
# switch by 11%.
ALIGN := -falign-functions=64 -falign-loops=64
RECORDED_FLAGS = -std=gnu11 $(WARNINGS) $(ALIGN) $(SANITIZE_$(CONFIG)) -pthread $(CPPFLAGS) $(CFLAGS)
ALL_CFLAGS = -Iharness -D_GNU_SOURCE= -DTHREADLAB_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(RECORDED_FLAGS)
# Calls that impls/common/critical.c stands in for.
WRAPPED := malloc calloc realloc aligned_alloc posix_memalign free vfprintf vprintf fprintf printf \
	fwrite fread fputs puts fputc putc putchar fgetc getc getchar ungetc fgets getline getdelim fflush \
	fclose fseek fseeko ftell ftello rewind perror setvbuf flockfile ftrylockfile funlockfile dlopen \
	dlclose dlsym pthread_once sigaction signal sigprocmask pthread_sigmask
WRAP = $(if $(or $(filter asan tsan,$(CONFIG)),$(if $(wildcard impls/common/critical.c),,none)),,$(addprefix -Wl$(comma)--wrap=,$(WRAPPED)))
ALL_LDFLAGS = -rdynamic -pthread $(SANITIZE_$(CONFIG)) $(WRAP) $(PKG_LDFLAGS) $(LDFLAGS)
ALL_LDLIBS = $(LDLIBS) -lhwloc -lpfm -ljansson -lmd -ldl -lm

# ---- files ------------------------------------------------------------------------------------------

# A file named *_<architecture>.c or .S is built for that architecture only.
ARCHITECTURES := x86_64 aarch64
other_arch = $(foreach a,$(filter-out $(ARCH),$(ARCHITECTURES)),%_$(a).c %_$(a).S)
SOURCES := $(sort $(wildcard harness/*.c impls/*/*.c impls/*/*.S suites/*/*.c))
object = $(patsubst %,$(B)/%.o,$(basename $(1)))
ifneq ($(filter $(addprefix %_,$(addsuffix .c,$(ARCHITECTURES)) $(addsuffix .S,$(ARCHITECTURES))),$(SOURCES)),)
SOURCES := $(filter-out $(other_arch),$(SOURCES))
endif
OBJECTS := $(call object,$(SOURCES))
TEST_SOURCES := $(sort $(wildcard harness/test/test_*.c))
TESTS := $(patsubst harness/test/%.c,$(B)/test/%,$(TEST_SOURCES))
PLUGINS := $(patsubst harness/test/plugin/%.c,$(B)/plugin/%.so,$(sort $(wildcard harness/test/plugin/*.c)))
PADS := 64 448 2112 4544
ENV_OBJECTS := $(call object,$(wildcard harness/env*.c))
# Their text is the section tl_user_text, so that a handler can tell it from its address
# (impls/user/text.h): the user-level libraries, and what works for them inside.
IN_LIBRARY := $(call object,$(shell grep -l '"../user/user.h"' impls/*/*.c) \
	$(wildcard impls/common/detect*.c) \
	$(addprefix impls/common/,atfork.c critical.c personal.c redzone.c stack.c tls.c))
OBJCOPY = $(eval OBJCOPY := $(shell $(CC) -print-prog-name=objcopy))$(OBJCOPY)

# The veneer (harness/veneer): with one implementation each, one object that a program is linked with.
# Of null there is none: it has no two threads at once.
VENEER_OBJECTS := $(call object,$(sort $(wildcard harness/veneer/*.c)))
VENEER_IMPLS := $(filter-out common user null,$(patsubst impls/%/,%,$(sort $(dir $(wildcard impls/*/*.c)))))
VENEERS := $(VENEER_IMPLS:%=$(B)/veneer/%.o)
VENEER_SHARED := $(patsubst harness/veneer/include/%,$(B)/veneer/include/%,$(wildcard harness/veneer/include/*))

NEWEST = ls -t results/*/*/*.jsonl 2>/dev/null | grep -Ev '^results/reference/|\.layout\.jsonl$$' | head -n 1

# ---- targets ----------------------------------------------------------------------------------------

.PHONY: all deps deps-lab lab lab-smoke test unit bench quick compare report check conformance mutants \
	torture asan tsan debug pads lint layers plugins veneer install-veneer install uninstall clean help FORCE

# What the emulated machine of scripts/lab starts with.
LAB_INIT := $(if $(CROSS),$(B)/lab/init $(B)/lab/truth)

all: $(THREADLAB) $(LAB_INIT) $(if $(SANITIZE_$(CONFIG))$(CROSS),,veneer) ## Build the driver, build/release/threadlab (default)

veneer: $(VENEERS) $(VENEERS:.o=.wrap) $(VENEERS:%.o=%.mk) $(VENEER_SHARED) ## Build what `threadlab cc` links programs with

deps: ## Install what is missing, with apt, dnf, pacman or zypper
	@CC='$(CC)' PYTHON='$(if $(filter file,$(origin PYTHON)),,$(PYTHON))' scripts/deps

deps-lab: ## Install what `make lab` needs besides: QEMU for arm64 and a cross compiler; valgrind
	@scripts/deps lab

bench: $(THREADLAB) $(B)/can-report ## Measure and draw the report: PRESET=quick|standard|full BENCH_ARGS=...
	@mkdir -p results
	@status=0; $(THREADLAB) run --preset $(PRESET) $(BENCH_ARGS) || status=$$?; \
	if [ $$status -gt 1 ]; then exit $$status; fi; \
	report=$$('$(PYTHON)' scripts/report "$$($(NEWEST))") || exit; \
	[ $$status -eq 0 ] || echo 'bench: some cells failed or crashed: see the report' >&2; \
	echo "The report: $$report"; \
	exit $$status

quick: ## The whole matrix in a minute and a half: bench with PRESET=quick
	@$(MAKE) --no-print-directory bench PRESET=quick

report: $(B)/can-report ## Draw report.html of a run: RUN=FILE (default: the newest below results/)
	@run='$(RUN)'; \
	[ -n "$$run" ] || run=$$($(NEWEST)); \
	if [ -z "$$run" ]; then echo 'report: no run below results/: make bench first' >&2; exit 2; fi; \
	'$(PYTHON)' scripts/report "$$run"

compare: $(THREADLAB) $(B)/can-report ## Did a change cost speed? BASE=rev|binary [HEAD=...] COMPARE_ARGS='--budget 60s'
	@if [ -z '$(BASE)' ]; then echo 'compare: say with what: make compare BASE=main' >&2; exit 2; fi
	@mkdir -p results; before=$$($(NEWEST)); status=0; \
	CC='$(CC)' $(THREADLAB) compare $(COMPARE_ARGS) '$(BASE)' $(if $(HEAD),'$(HEAD)') || status=$$?; \
	now=$$($(NEWEST)); \
	[ "$$now" = "$$before" ] || echo "The report: $$('$(PYTHON)' scripts/report "$$now")"; \
	exit $$status

lab: $(THREADLAB) $(B)/can-report ## Exact counts from an emulated arm64 machine: LAB_ARGS='--lab-topology 2x2x2,numa=2 ...'
	@mkdir -p results; $(THREADLAB) run --lab $(LAB_ARGS) || exit; \
	echo "The report: $$('$(PYTHON)' scripts/report "$$($(NEWEST))")"

lab-smoke: ## The lab at work: counters, checks, placements, torture, counts of two boots
	@scripts/lab smoke

check: $(THREADLAB) ## Which promises are kept, against what is expected: CHECK_ARGS='--impl green mutex.*'
	@$(THREADLAB) check --expect impls $(CHECK_ARGS)

conformance: $(THREADLAB) $(B)/can-report ## Check all promises and draw the matrix into a report
	@mkdir -p results; status=0; \
	$(THREADLAB) check --expect impls --out results/ --junit $(B)/conformance.xml $(CHECK_ARGS) \
		>$(B)/conformance.tap || status=$$?; \
	if [ $$status -gt 1 ]; then exit $$status; fi; \
	awk '/^(not )?ok/ { show = /^not ok/ && !/# TODO/ } show' $(B)/conformance.tap; \
	tail -n 1 $(B)/conformance.tap; \
	report=$$('$(PYTHON)' scripts/report "$$($(NEWEST))") || exit; \
	[ $$status -eq 0 ] || echo 'conformance: not all is as expected: see above' >&2; \
	echo "The report: $$report; TAP and JUnit: $(B)/conformance.tap, .xml"; \
	exit $$status

mutants: ## Can the checks fail? Puts faults in and prints the kill matrix: MUTANT_ARGS=
	@$(MAKE) --no-print-directory CONFIG=inject all
	@build/inject/threadlab mutants $(MUTANT_ARGS)

# Of these parameters each program gets values by its seed. Sanitizers know nothing of raw clone, and
# refuse preemption. Leaks are looked for by the unit tests. A race that TSan reports from within the
# library may hang it.
TORTURE_SETS := --set lwps=0,1,2,4 --set detector=jacket,none,proc,perf,seccomp
TORTURE_inject := $(TORTURE_SETS) --set preempt=off,timer
TORTURE_asan := $(TORTURE_SETS) --impl nptl,green,ucontext,hybrid torture.random
TORTURE_tsan := $(TORTURE_asan)
torture: torture-inject torture-asan torture-tsan ## Random programs of threads, with delays inside, under ASan and TSan: TIME=20s each, SEED=
torture-tsan: torture-asan
torture-asan: torture-inject
torture-%:
	@$(MAKE) --no-print-directory CONFIG=$* build/$*/threadlab
	@echo '== torture, $*'
	@ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1 setarch -R build/$*/threadlab check \
		--torture $(TIME) $(if $(SEED),--seed $(SEED)) $(TORTURE_$*)

test: $(THREADLAB) $(TESTS) $(PLUGINS) $(B)/can-test ## Run all tests; the last line counts them
	@THREADLAB='$(THREADLAB)' '$(PYTHON)' scripts/runtests --junit $(B)/pytest.xml \
		--pytest scripts/test --pytest harness/test $(TESTS)

unit: $(TESTS) $(B)/can-run ## Run the unit tests only: CONFIG=release|debug|asan|tsan
	@$(or $(PYTHON),python3) scripts/runtests $(if $(SANITIZE_$(CONFIG)),--probe $(B)/can-run) $(TESTS)

asan: ## Unit tests under AddressSanitizer and UBSan, in build/asan/
	@$(MAKE) --no-print-directory CONFIG=asan unit

tsan: ## Unit tests under ThreadSanitizer, in build/tsan/
	@$(MAKE) --no-print-directory CONFIG=tsan unit

debug: ## Build build/debug/threadlab
	@$(MAKE) --no-print-directory CONFIG=debug all

lint: ## Check formatting, shell, Python and line lengths
	@CC='$(CC)' PYTHON='$(PYTHON)' scripts/deps --check lint
	@PYTHON='$(PYTHON)' scripts/lint

layers: ## Check that includes and imports point down only
	@$(or $(PYTHON),python3) scripts/layers

pads: $(THREADLAB) $(PADS:%=$(B)/threadlab.pad%) ## Link the driver behind paddings: `compare` moves the code with them

plugins: $(PLUGINS) ## Build the example plugin of harness/test/plugin/

install: $(THREADLAB) ## Install below PREFIX (/usr/local), staged in DESTDIR
	install -d '$(BINDIR)' '$(MANDIR)' '$(COMPLETIONDIR)' '$(INCLUDEDIR)' '$(SHAREDIR)/scripts' \
		'$(SHAREDIR)/results/schema'
	install -m 755 $(THREADLAB) '$(BINDIR)/threadlab'
	install -m 644 scripts/install/threadlab.1 '$(MANDIR)/threadlab.1'
	install -m 644 scripts/install/threadlab.bash '$(COMPLETIONDIR)/threadlab'
	install -m 755 scripts/report scripts/scorecard scripts/compare scripts/track '$(SHAREDIR)/scripts/'
	install -m 644 $(wildcard scripts/*.py) '$(SHAREDIR)/scripts/'
	install -m 644 $(wildcard results/schema/*.json) '$(SHAREDIR)/results/schema/'
	install -m 644 harness/impl.h harness/bench.h harness/check.h '$(INCLUDEDIR)/'
	$(if $(or $(SANITIZE_$(CONFIG)),$(CROSS),$(if $(wildcard harness/veneer/*.c),,none)),,@$(MAKE) --no-print-directory install-veneer)

# The .mk and .pc say where they lie.
install-veneer: veneer ## Install what threadlab cc links, below PREFIX
	install -d '$(SHAREDIR)/veneer/include'
	install -m 644 $(VENEERS) $(VENEERS:.o=.wrap) '$(SHAREDIR)/veneer/'
	install -m 644 $(VENEER_SHARED) '$(SHAREDIR)/veneer/include/'
	here=$$(cd $(B)/veneer && pwd); for file in $(B)/veneer/*.mk $(B)/veneer/*.pc; do \
		sed "s,$$here,$(PREFIX)/share/threadlab/veneer,g" $$file \
			>'$(SHAREDIR)/veneer/'$$(basename $$file); \
	done

uninstall: ## Remove what install put there
	rm -f '$(BINDIR)/threadlab' '$(MANDIR)/threadlab.1' '$(COMPLETIONDIR)/threadlab'
	rm -rf '$(SHAREDIR)' '$(INCLUDEDIR)'

clean: ## Remove build/; results stay
	rm -rf build

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
COMPLETIONDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
SHAREDIR = $(DESTDIR)$(PREFIX)/share/threadlab
INCLUDEDIR = $(DESTDIR)$(PREFIX)/include/threadlab

# ---- stamps -----------------------------------------------------------------------------------------

FORCE:

# Rewrites $@ only if the text, on standard input, is a new one.
update = mkdir -p $(@D) && cat >$@.new && { cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }
# As a word of the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'

$(B)/flags: FORCE
	@printf '%s\n' $(call quoted,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(ALL_LDLIBS) $(IN_LIBRARY)) | { $(update); }

# What is linked: a source that went away relinks.
$(B)/objects: FORCE
	@printf '%s\n' $(call quoted,$(OBJECTS)) | { $(update); }

# Only harness/env*.c reads it, so that a commit does not rebuild everything. A copy of the sources that
# lies inside some other repository has no revision, and whether it is dirty is not said.
$(B)/revision.h: FORCE
	@revision=unknown; dirty=; \
	if [ "$$(git rev-parse --show-cdup 2>/dev/null; echo $$?)" = "$$(echo; echo 0)" ]; then \
		revision=$$(git rev-parse -q --verify HEAD 2>/dev/null) || revision=unknown; \
		dirty='#define THREADLAB_DIRTY 0'; \
		[ -z "$$(git status --porcelain 2>/dev/null)" ] || dirty='#define THREADLAB_DIRTY 1'; \
	fi; \
	flags=$$(printf '%s' $(call quoted,$(RECORDED_FLAGS)) | sed 's/[\\"]/\\&/g'); \
	printf '#define THREADLAB_REVISION "%s"\n#define THREADLAB_CFLAGS "%s"\n%s\n' \
		"$$revision" "$$flags" "$$dirty" | { $(update); }

# One line for each missing package before the first compile, never a compiler error.
CHECK = CC='$(CC)' CPPFLAGS=$(call quoted,$(PKG_CFLAGS) $(CPPFLAGS)) \
	LDFLAGS=$(call quoted,$(PKG_LDFLAGS) $(LDFLAGS)) scripts/deps --check
$(B)/can-build: $(B)/flags scripts/deps $(SYSROOT)
	@$(CHECK) build $(filter asan tsan,$(CONFIG))
	@touch $@

# The compiler and libraries of the tests.
$(B)/can-link-tests: $(B)/can-build
	@$(CHECK) test-library
	@touch $@

# These ask the Python of today each time: nothing of it is built.
$(B)/can-report: FORCE
	@PYTHON='$(PYTHON)' scripts/deps --check report

$(B)/can-test: FORCE
	@$(if $(PYTHON),PYTHON='$(PYTHON)') $(CHECK) test

# Runs as nothing at all: tells whether this sanitizer works on this kernel.
$(B)/can-run: $(B)/can-build
	@echo 'int main(void) { return 0; }' | $(CC) $(ALL_CFLAGS) -x c -o $@ - -x none $(ALL_LDFLAGS)

# ---- rules ------------------------------------------------------------------------------------------

$(THREADLAB): $(OBJECTS) $(B)/objects $(B)/flags
	$(if $(V),,@echo '  LD $@')
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(OBJECTS) $(ALL_LDLIBS)

# The memory of the veneer's object is the C library's own heap: a malloc that the program brings may
# lock a mutex, which would ask the veneer for memory. veneer_program_free and _realloc are for what is
# the program's, or comes from the C library.
HEAP := 'malloc __libc_malloc' 'calloc __libc_calloc' 'realloc __libc_realloc' 'free __libc_free' \
	'aligned_alloc __libc_memalign' 'veneer_program_free free' 'veneer_program_realloc realloc'

# Of impls/common what the implementation calls: it registers nothing, so an archive loses nothing.
# What calls a name that is wrapped means the C library's, here; of what is defined, only the wrapping
# functions and those that <pthread.h> of the veneer calls are seen from outside.
percent := %
.SECONDEXPANSION:
# <threads.h> there is the system's, not the harness's.
$(VENEER_OBJECTS): ALL_CFLAGS := $(subst -Iharness,-iquote harness,$(ALL_CFLAGS))
$(filter-out %/nptl.o,$(VENEERS)): $(B)/veneer/%.o: $(VENEER_OBJECTS) $(B)/flags \
		$$(filter $(B)/impls/common/$$(percent) $(B)/impls/$$*/$$(percent),$(OBJECTS))
	$(if $(V),,@echo '  LD $@')
	@mkdir -p $(@D)
	$(Q)rm -f $@.a; ar rcs $@.a $(filter $(B)/impls/common/%,$^)
	$(Q)$(CC) -r -nostdlib -o $@.all $(filter-out $(B)/impls/common/%,$(filter %.o,$^)) $@.a
	$(Q)nm --defined-only $@.all | sed -n 's/.* T __wrap_\(.*\)$$/\1 __real_\1/p' >$@.names
	@printf '%s\n' $(HEAP) >>$@.names
	$(Q)$(OBJCOPY) --redefine-syms=$@.names --wildcard --keep-global-symbol='__wrap_*' \
		--keep-global-symbol='veneer_cleanup_*' --keep-global-symbol=veneer_jump_here \
		--keep-global-symbol='_ZNSt*' --keep-global-symbol='_ZSt*' \
		--keep-global-symbol='__cxa_*' $@.all $@
	@printf 'threadlab-veneer=$*;' >$@.mark; $(OBJCOPY) --add-section .threadlab.veneer=$@.mark $@
	@rm -f $@.a $@.all $@.names $@.mark

# nptl is the identity: the same names, each a jump to the C library's own. Two it has for old
# programs only, which a new one cannot be linked with; main is the program's.
$(B)/veneer/nptl.o: harness/veneer/identity.S $(VENEER_OBJECTS) $(B)/flags
	$(if $(V),,@echo '  LD $@')
	@mkdir -p $(@D)
	$(Q)nm --defined-only $(VENEER_OBJECTS) | sed -n 's/.* T __wrap_\(.*\)$$/PASS \1/p' | sort -u | \
		grep -vxE 'PASS (main|bsd_signal|pthread_yield)' >$@.names
	$(Q)$(CC) $(filter -m% --sysroot%,$(ALL_CFLAGS)) -DNAMES='"$(abspath $@.names)"' -c $< -o $@
	@printf 'threadlab-veneer=nptl;' >$@.mark; $(OBJCOPY) --add-section .threadlab.veneer=$@.mark $@
	@rm -f $@.names $@.mark

$(VENEERS:.o=.wrap): %.wrap: %.o
	@nm --defined-only $< | sed -n 's/.* T __wrap_\(.*\)$$/--wrap=\1/p' >$@

# For make: VENEER_CPPFLAGS, VENEER_LDLIBS. For pkg-config: the same.
$(VENEERS:%.o=%.mk): $(B)/veneer/%.mk: $(B)/veneer/%.wrap
	@d=$$(cd $(@D) && pwd); \
	printf 'VENEER_CPPFLAGS := -DTL_VENEER_$* -include %s/include/veneer-first.h -isystem %s/include\n' $$d $$d >$@; \
	printf 'VENEER_LDLIBS := %s/$*.o -Wl,@%s/$*.wrap -lm\n' $$d $$d >>$@; \
	printf 'Name: threadlab-$*\nDescription: pthread programs on the implementation $*\nVersion: %s\n' \
		'$(VERSION)' >$(@D)/threadlab-$*.pc; \
	printf 'Cflags: -DTL_VENEER_$* -include %s/include/veneer-first.h -isystem %s/include\n' $$d $$d \
		>>$(@D)/threadlab-$*.pc; \
	printf 'Libs: %s/$*.o -Wl,@%s/$*.wrap -lm\n' $$d $$d >>$(@D)/threadlab-$*.pc

$(VENEER_SHARED): $(B)/veneer/include/%: harness/veneer/include/%
	@mkdir -p $(@D)
	$(Q)cp $< $@

# In bytes: the next line, some lines, half a page and a page with some lines.
$(B)/threadlab.pad%: $(B)/pad/%.o $(OBJECTS) $(B)/objects $(B)/flags
	$(if $(V),,@echo '  LD $@')
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(OBJECTS) $(ALL_LDLIBS)

$(B)/pad/%.o: harness/pad.S $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DTL_PAD=$* -c -o $@ $<

# The objects are linked directly: out of an archive, registered implementations would vanish.
$(TESTS): $(B)/test/%: $(B)/harness/test/%.o $(filter-out %/harness/main.o,$(OBJECTS)) $(B)/objects $(B)/flags
	$(if $(V),,@echo '  LD $@')
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(filter-out %/harness/main.o,$(OBJECTS)) $(ALL_LDLIBS) -lcmocka

# The code of the user-level thread library lies together, so that a signal handler can tell whether it
# has interrupted it (impls/user/sigkernel.h).
$(IN_LIBRARY): RENAME := \
	$(foreach part,.text .text.unlikely .text.hot .text.startup .text.exit,--rename-section $(part)=tl_user_text)
$(ENV_OBJECTS): EXTRA := -include $(B)/revision.h
# Large frames probe the guard below a stack.
PROBES = $(eval PROBES := $(shell $(CC) -Werror -fstack-clash-protection -x c -c -o /dev/null /dev/null \
	2>/dev/null && echo '-fstack-clash-protection -DTL_STACK_PROBES'))$(PROBES)
$(filter $(B)/suites/%,$(OBJECTS)): EXTRA = -DTL_SUITE $(PROBES)
# An object of -flto has no text yet. Functions of the compiler's library would be the program's text.
$(IN_LIBRARY): EXTRA := -fno-plt -fno-lto $(if $(filter aarch64,$(ARCH)),-mno-outline-atomics)

$(OBJECTS) $(PLUGINS) $(VENEER_OBJECTS): $(B)/flags | $(B)/can-build
$(patsubst $(B)/test/%,$(B)/harness/test/%.o,$(TESTS)): $(B)/flags | $(B)/can-link-tests
$(ENV_OBJECTS): $(B)/revision.h

$(B)/%.o: %.c
	$(if $(V),,@echo '  CC $<')
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<
	$(if $(RENAME),$(Q)$(OBJCOPY) $(RENAME) $@)

$(B)/%.o: %.S
	$(if $(V),,@echo '  AS $<')
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<

$(B)/lab/init: harness/lab/init.c $(B)/flags | $(B)/can-build
	$(if $(V),,@echo '  LD $@')
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -static -o $@ $<

$(B)/lab/truth: harness/lab/truth.c $(filter $(B)/harness/pmu%,$(OBJECTS)) $(B)/flags
	$(if $(V),,@echo '  LD $@')
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(filter-out $(WRAP),$(ALL_LDFLAGS)) -o $@ $(filter-out %/flags,$^) -lpfm -ldl -lm

ifdef CROSS
$(SYSROOT):
	@scripts/lab fetch sysroot >/dev/null
endif

# As an outsider builds one: the two contract headers and nothing else.
$(PLUGINS): $(B)/plugin/%.so: harness/test/plugin/%.c
	$(if $(V),,@echo '  LD $@')
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -MMD -MP -MF $(@:.so=.d) -o $@ $<

# `make deps bench`, `make clean all`: first things first, also under -j.
FIRST := $(filter clean deps,$(MAKECMDGOALS))
ifneq ($(FIRST),)
$(filter-out clean deps,$(MAKECMDGOALS)) $(addprefix $(B)/,flags objects revision.h can-report can-test): | $(FIRST)
endif

-include $(OBJECTS:.o=.d) $(VENEER_OBJECTS:.o=.d) $(TESTS:$(B)/test/%=$(B)/harness/test/%.d) $(PLUGINS:.so=.d)

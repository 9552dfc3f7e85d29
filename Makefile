# Makefile - builds `turtle`, its tests and its demo. `make help` lists the targets.

VERSION := 0.3.0
CONFIG  ?= release#  or debug: ASan, UBSan, leaks; warnings are errors
CUDA    ?= auto#     auto: nvcc if it works; 0: never; 1: it must work
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
PREFIX  ?= /usr/local
Q       := $(if $(V),,@)#  V=1 shows every command

# --- what this machine has -------------------------------------------------------------------
nvcc_found   := $(shell .ci/nvcc $(CUDA))
$(if $(and $(filter 1,$(CUDA)),$(filter none,$(firstword $(nvcc_found)))),$(error CUDA=1: $(wordlist 2,99,$(nvcc_found))))
NVCC         := $(patsubst use:%,%,$(filter use:%,$(firstword $(nvcc_found))))
CUDA_SOURCES := $(wildcard kernels/cuda/*.cu)
USE_CUDA     := $(if $(and $(NVCC),$(CUDA_SOURCES)),1,0)
CLANG        := $(shell $(CC) --version | grep -i clang)
HAS_OPENMP   := $(shell echo 'int main(void){return 0;}' | $(CC) -fopenmp -x c - -o /dev/null 2>/dev/null && echo 1)
X86          := $(filter x86_64 amd64,$(shell uname -m))

OUT := build/$(CONFIG)$(if $(filter 0,$(USE_CUDA)),-cpu)#  one folder per configuration: switching never needs a clean
PACKAGES := build/packages#  what .ci/packages unpacks where it may not install

# --- flags ------------------------------------------------------------------------------------
OPT_release := -O3
OPT_debug   := -O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
KERNEL_OPT_debug := -O3#  under -O1 a recorded run would take minutes
# gcc: the shared runtimes write part of a report to stderr, where test runners lose it; linked in, all of it
# goes to the log
SANITIZER_LINK_debug := $(if $(CLANG),,-static-libasan -static-libubsan)
CFLAGS  := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -MMD -MP -fvisibility=hidden -isystem $(PACKAGES)/usr/include \
           $(if $(CLANG),-Wno-pass-failed) -fno-math-errno -fno-trapping-math $(OPT_$(CONFIG)) $(if $(HAS_OPENMP),-fopenmp)
LDFLAGS := $(filter -fsanitize%,$(OPT_$(CONFIG))) $(SANITIZER_LINK_$(CONFIG)) $(if $(HAS_OPENMP),-fopenmp)
LDLIBS  := -lm -lpthread

# The plain C of kernels/cpu is compiled once for every instruction set; gemm_<set>.c only for its own.
ISAS           := portable $(if $(X86),avx2 avx512)
ISA_portable   :=
ISA_avx2       := -mavx2 -mfma -mf16c
ISA_avx512     := $(ISA_avx2) -mavx512f -mavx512vl -mavx512bw -mavx512dq
# Products of bfloat16 alone: one file each. Compilers before gcc 11 do not know AMX.
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16
ISA_amx        := -mamx-tile -mamx-bf16
ISA_amx-emulated := -DAMX_EMULATED
HAVE_BF16      := $(if $(X86),$(shell echo | $(CC) $(ISA_avx512bf16) $(ISA_amx) -x c -fsyntax-only - 2>/dev/null && echo 1))
BF16_OBJECTS    = $(if $(HAVE_BF16),$(OUT)/kernels/cpu/avx512bf16/gemm_avx512bf16.o $(OUT)/kernels/cpu/amx/gemm_amx.o) \
                  $(OUT)/kernels/cpu/amx-emulated/gemm_amx.o
CFLAGS_dispatch := -DHAVE_BF16=$(or $(HAVE_BF16),0)
CPU_ONCE       := $(filter-out kernels/cpu/gemm_%.c,$(wildcard $(addprefix kernels/cpu/,device.c dispatch.c reference.c reference_encode.c)))
CPU_PER_ISA    := $(filter-out $(CPU_ONCE) kernels/cpu/gemm_%.c,$(wildcard kernels/cpu/*.c))

# --- objects ----------------------------------------------------------------------------------
object   = $(patsubst %.c,$(OUT)/%.o,$(1))
EMBEDDED      := vocab unicode entities prompts#  data that is compiled into the program
FILE_vocab    := data/vocab/bpe_simple_vocab_16e6.txt.gz
FILE_unicode  := data/vocab/unicode.txt
FILE_entities := data/vocab/entities.txt
FILE_prompts  := data/prompts/prompts.txt
MAIN    := host/main.c host/flags.c host/progress.c $(wildcard host/cmd_*.c)#  the command line: not part of the library
LIBRARY := $(call object,$(filter-out $(MAIN),$(wildcard host/*.c)) $(wildcard io/*.c kernels/*.c) $(CPU_ONCE)) \
           $(patsubst %,$(OUT)/embedded/%.o,$(EMBEDDED)) \
           $(foreach i,$(ISAS),$(patsubst kernels/cpu/%.c,$(OUT)/kernels/cpu/$i/%.o,$(CPU_PER_ISA) kernels/cpu/gemm_$i.c)) $(BF16_OBJECTS)
PROGRAM := $(OUT)/turtle
TESTS   := $(call object,$(wildcard tests/*.c))

all: $(PROGRAM)                 ## build/turtle: the program (a link to the last configuration built)
	@ln -sfn $(patsubst build/%,%,$(PROGRAM)) build/turtle
	@echo "built build/turtle -> $(PROGRAM); $(wordlist 2,99,$(nvcc_found))$(if $(and $(NVCC),$(filter 0,$(USE_CUDA))),; no CUDA kernels in this version: CPU backend)"

$(PROGRAM): $(call object,$(MAIN)) $(LIBRARY)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(OUT)/%.o: %.c | $(OUT)/version.h
	@mkdir -p $(@D)
	@echo "cc $<"
	$(Q)$(CC) $(CFLAGS) $(CFLAGS_$(basename $(notdir $<))) -c $< -o $@

define isa_rule
$(OUT)/kernels/cpu/$(1)/%.o: kernels/cpu/%.c
	@mkdir -p $$(@D)
	@echo "cc $$< ($(1))"
	$$(Q)$$(CC) $$(CFLAGS) $$(KERNEL_OPT_$$(CONFIG)) -ffp-contract=fast -DISA_NAME=$(1) $$(ISA_$(1)) -c $$< -o $$@
endef
$(foreach i,$(ISAS) avx512bf16 amx amx-emulated,$(eval $(call isa_rule,$i)))

# A file as a C array, `const Embedded embedded_<name>` of io/embedded.h.
define embed_rule
$(OUT)/embedded/$(1).o: $(FILE_$(1)) io/embedded.h
	@mkdir -p $$(@D)
	@echo "embed $$<"
	$$(Q){ echo '#include "io/embedded.h"'; echo 'static const uint8_t bytes[] ='; \
	  od -An -v -tx1 $$< | sed 's/ /\\x/g; s/.*/"&"/'; \
	  echo '; const Embedded embedded_$(1) = {bytes, sizeof bytes - 1};'; } | $$(CC) -std=c11 -I. -x c -c - -o $$@
endef
$(foreach e,$(EMBEDDED),$(eval $(call embed_rule,$e)))

# stb_image is included, never linked
CFLAGS_stb := -w
$(OUT)/io/stb.o $(OUT)/io/gzip.o $(OUT)/io/image.o: | stb
stb:
	@.ci/packages $(PACKAGES) $(CC) stb/stb_image.h libstb-dev

# What `--version` says; rewritten only when it changes.
CFLAGS_info := -I$(OUT)
$(OUT)/version.h: FORCE
	@mkdir -p $(@D)
	@printf '#define TURTLE_VERSION "%s"\n#define TURTLE_COMMIT "%s"\n#define TURTLE_COMPILER "%s"\n#define TURTLE_CUDA "%s"\n' \
	  '$(VERSION)' "$$(git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)" \
	  "$$($(CC) --version | head -n 1)" 'none' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

demo: all                       ## pictures -> features -> classes: 10 000 handwritten digits, under a minute
	@data/demo/run build/turtle build/demo

# --- tests ------------------------------------------------------------------------------------
test: $(OUT)/tests-cpu $(OUT)/fault all bench-programs          ## all suites; ends with `N passed, N failed`
	@tests/run $(CONFIG) $(OUT)

test-full: $(OUT)/tests-cpu $(OUT)/fault all     ## the same, all recorded runs, and everything again under the sanitizers
	@TURTLE_TEST_FULL=1 tests/run $(CONFIG) $(OUT)
	@$(MAKE) --no-print-directory test CONFIG=debug

CRITERION := -I$(PACKAGES)/usr/include -L$(PACKAGES)/usr/lib/$(shell $(CC) -dumpmachine) -Wl,--disable-new-dtags,-rpath,$(abspath $(PACKAGES))/usr/lib/$(shell $(CC) -dumpmachine)
$(TESTS): CFLAGS += $(firstword $(CRITERION)) -DTURTLE_PROGRAM='"$(PROGRAM)"'
$(TESTS): | criterion
$(OUT)/fault: tests/planted/fault.c | $(OUT)/version.h
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< -o $@
$(OUT)/tests-cpu: $(TESTS) $(call object,host/flags.c) $(LIBRARY)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(wordlist 2,3,$(CRITERION)) -lcriterion $(LDLIBS) -o $@
criterion:
	@.ci/packages $(PACKAGES) $(CC) criterion/criterion.h libcriterion-dev

# --- bench ------------------------------------------------------------------------------------
BENCH := $(patsubst %,$(OUT)/bench-%,training operations assignment encoders images random_weights probe)
PARTS ?= training operations assignment growth encoders images probe
bench-programs: $(BENCH)
bench: bench-programs           ## speed beside PyTorch, SciPy, Pillow: PYTHON="interpreters" PARTS="training ..."
	@for part in $(PARTS); do bench/run $$part $(OUT) "$(PYTHON)" || exit; done

bench-compare:                  ## two result files: A=old.json B=new.json
	@bench/table --compare "$(A)" "$(B)"

results:                        ## writes the newest results into README.md
	@bench/readme

CFLAGS_peaks := -ffp-contract=fast
$(BENCH): $(OUT)/bench-%: $(OUT)/bench/%.o $(OUT)/bench/bench.o $(OUT)/bench/peaks.o $(LIBRARY)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# --- keeping house ----------------------------------------------------------------------------
SOURCES := $(wildcard host/*.[ch] io/*.[ch] kernels/*.[ch] kernels/cpu/*.[ch] tests/*.[ch] bench/*.[ch])
lint: $(OUT)/version.h          ## clang-tidy and cppcheck; every exception is explained where it stands
	# gemm_avx512bf16.c needs flags of its own; its body is bf16_tile.h, seen through bf16.c
	clang-tidy --quiet $(filter-out tests/% kernels/cpu/gemm_avx512bf16.c,$(filter %.c,$(SOURCES))) -- -std=c11 -D_GNU_SOURCE -DISA_NAME=avx2 $(ISA_avx2) -I$(OUT)
	# invalidFunctionArg: it believes that a sum of exp(x - max x) can be 0; the maximum itself adds 1
	cppcheck --quiet --enable=warning,performance,portability --suppress=invalidFunctionArg --error-exitcode=1 --std=c11 -DISA_NAME=avx2 host io kernels

format:                         ## clang-format over every source
	clang-format -i $(SOURCES)

install: $(PROGRAM)             ## PREFIX=/usr/local DESTDIR=
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/turtle

uninstall:                      ## removes what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/turtle

clean:                          ## removes build/
	rm -rf build

help:                           ## this list
	@awk -F ' *## ' '/^[a-z-]+:.*## / {sub(/:.*/, "", $$1); printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "  CONFIG=release|debug  CUDA=auto|0|1"

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
.PHONY: all demo test test-full bench bench-programs bench-compare results criterion stb lint format install uninstall clean help FORCE
.DELETE_ON_ERROR:

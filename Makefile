# Makefile - builds `turtle`, its tests and its demo. `make help` lists the targets.

VERSION := 0.8.0
CONFIG  ?= release#  or debug: ASan, UBSan, leaks, warnings are errors; race: kernels under ThreadSanitizer
CUDA    ?= auto#     auto: nvcc if it works; 0: never; 1: it must work
ARCH    ?= $(if $(CI),sm_90a,sm_80 sm_90a compute_80)#  of the kernels; compute_80 is PTX: every later GPU
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))#  one word or more, as `ccache gcc`
CXX     := $(if $(filter default,$(origin CXX)),g++,$(CXX))#  of the emulator; the program itself is C and CUDA C
PREFIX  ?= /usr/local
Q       := $(if $(V),,@)#  V=1 shows every command
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)#  every core, unless the command line has a -j of its own
endif

# --- what this machine has -------------------------------------------------------------------
PACKAGES := build/packages#  what .ci/cc, .ci/cxx and .ci/packages unpack where they may not install
COMPILES := $(filter-out bench-compare results format uninstall clean help,$(or $(MAKECMDGOALS),all))
cc_found := $(if $(COMPILES),$(shell .ci/cc "$(CC)" $(PACKAGES)))
$(if $(filter none,$(firstword $(cc_found))),$(error $(wordlist 2,99,$(cc_found))))
override CC  := $(if $(COMPILES),$(patsubst use:%,%,$(cc_found)),$(CC))
nvcc_found   := $(shell .ci/nvcc $(if $(filter race,$(CONFIG)),0,$(CUDA)))
$(if $(and $(filter 1,$(CUDA)),$(filter none,$(firstword $(nvcc_found)))),$(error CUDA=1: $(wordlist 2,99,$(nvcc_found))))
NVCC         := $(patsubst use:%,%,$(filter use:%,$(firstword $(nvcc_found))))
CUDA_HOME    := $(patsubst %/bin/nvcc,%,$(and $(NVCC),$(realpath $(NVCC))))
CUDA_SOURCES := $(wildcard kernels/cuda/*/*.cu)
# device.cu is what opens a GPU
USE_CUDA     := $(if $(and $(NVCC),$(wildcard kernels/cuda/backend/device.cu)),1,0)
cxx_found    := $(shell .ci/cxx "$(CXX)" $(PACKAGES) $(if $(filter emu test%,$(MAKECMDGOALS)),get,look) "$(CC)")
EMU_CXX      := $(patsubst use:%,%,$(if $(filter use:%,$(firstword $(cxx_found))),$(cxx_found)))
EMU_SOURCES  := $(wildcard kernels/emu/*.cpp)
USE_EMU      := $(if $(and $(EMU_CXX),$(wildcard kernels/cuda/backend/device.cu),$(EMU_SOURCES)),1,0)
CLANG        := $(shell $(CC) --version | grep -i clang)
OPENMP_SIMD  := $(shell echo 'int x;' | $(CC) -fopenmp-simd -x c -c - -o /dev/null 2>/dev/null && echo -fopenmp-simd -DHAVE_OPENMP_SIMD)#  vectors; threads are our own
X86          := $(filter x86_64 amd64,$(shell uname -m))

OUT := build/$(CONFIG)$(if $(filter 0,$(USE_CUDA)),-cpu)#  one folder per configuration: switching never needs a clean

# --- flags ------------------------------------------------------------------------------------
OPT_release := -O3
OPT_debug   := -O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_race    := -O2 -g
OPT_kit     := $(OPT_release)#  what `make gpu-kit` builds
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer#  what `make fuzz` builds
KERNEL_OPT_debug := -O3#  under -O1 a recorded run would take minutes
KERNEL_OPT_fuzz  := -fno-sanitize=all#  no bytes from outside reach a kernel
# gcc: the shared runtimes write part of a report to stderr, where test runners lose it; linked in, all of it
# goes to the log
SANITIZER_LINK_debug := $(if $(CLANG),,-static-libasan -static-libubsan)
CFLAGS  := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -MMD -MP -fvisibility=hidden -I. -isystem $(PACKAGES)/usr/include \
           $(if $(CLANG),-Wno-pass-failed) -fno-math-errno -fno-trapping-math $(OPT_$(CONFIG)) $(OPENMP_SIMD)
LDFLAGS := $(filter -fsanitize%,$(OPT_$(CONFIG))) $(SANITIZER_LINK_$(CONFIG))
LDLIBS  := -lm -lpthread

# The CUDA backend, three times: for a GPU; for the emulator, which the host compiler builds from the very
# same files; a stub that says that there is none.
GENCODE   = $(foreach a,$(ARCH),-gencode arch=$(patsubst sm_%,compute_%,$a),code=$a)
comma    := ,
LDFLAGS += $(if $(filter kit,$(CONFIG)),-Wl$(comma)--disable-new-dtags$(comma)-rpath$(comma)'$$ORIGIN/../lib')
NVFLAGS   = -std=c++17 -O3 -lineinfo $(GENCODE) -I. -Xfatbin -compress-all -Xptxas -v,--warn-on-spills -MMD -MP \
            -Xcompiler -Wall,-Wextra,-fvisibility=hidden,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics \
            -DCUDA_ARCHITECTURES='"$(ARCH)"' $(if $(filter debug,$(CONFIG)),-DCHECK_LAUNCHES -DBOUNDED_WAITS -Xcompiler -Werror)
CUDA_LIBS = -L$(CUDA_HOME)/lib64 -lcudart_static -lrt -ldl -lpthread
EMU_OPT_release := -O2
EMU_OPT_debug   := $(OPT_debug) -Og -DCHECK_LAUNCHES#  -Og: what a debugger is asked for is there
EMU_OPT_race    := -O1 -g
# Kernels reinterpret shared memory as they please; under race they alone are instrumented, the emulator is not. -O1
# compiles them in half the time of -O2 and runs as fast: their time is that of the switches between threads.
EMU_KERNEL_OPT      := $(if $(filter release,$(CONFIG)),-O1) -fno-strict-aliasing $(if $(filter race,$(CONFIG)),-fsanitize=thread)
# both compilers are unsure of loops that UNROLL asked for
EMU_WARNINGS := $(if $(EMU_CXX),$(if $(shell $(EMU_CXX) --version | grep -i clang),-Wno-pass-failed,-Wno-maybe-uninitialized))
EMU_FLAGS = -std=c++17 -D_GNU_SOURCE -Wall -Wextra -Wno-psabi $(EMU_WARNINGS) -MMD -MP -fvisibility=hidden -I. -Ikernels/emu/include $(EMU_OPT_$(CONFIG))
EMU_LINK  = $(LDFLAGS) $(if $(filter race,$(CONFIG)),-fsanitize=thread)

# The plain C of kernels/cpu is compiled once for every instruction set; gemm/gemm_<set>.c only for its own.
ISAS           := portable $(if $(X86),avx2 avx512)
ISA_portable   :=
ISA_avx2       := -mavx2 -mfma -mf16c
ISA_avx512     := $(ISA_avx2) -mavx512f -mavx512vl -mavx512bw -mavx512dq
# Products of 16-bit numbers alone: one file each. Compilers before gcc 11 do not know AMX.
ISA_avx512vnni := $(ISA_avx512) -mavx512vnni
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16
ISA_amx        := -mamx-tile -mamx-bf16
ISA_amx-emulated := -DAMX_EMULATED
HAVE_BF16      := $(if $(X86),$(shell echo | $(CC) $(ISA_avx512bf16) $(ISA_amx) -x c -fsyntax-only - 2>/dev/null && echo 1))
BITS16_OBJECTS  = $(if $(HAVE_BF16),$(addprefix $(OUT)/kernels/cpu/,avx512vnni/gemm/gemm_int16.o avx512bf16/gemm/gemm_avx512bf16.o amx/gemm/gemm_amx.o)) \
                  $(addprefix $(OUT)/kernels/cpu/,portable/gemm/gemm_int16.o amx-emulated/gemm/gemm_amx.o)
CFLAGS_dispatch := -DHAVE_BF16=$(or $(HAVE_BF16),0)
CPU_ONCE       := $(wildcard $(addprefix kernels/cpu/,device.c dispatch.c threads.c cores.c) kernels/cpu/reference/*.c)
CPU_PER_ISA    := $(filter-out $(CPU_ONCE) kernels/cpu/gemm/gemm_%.c,$(wildcard kernels/cpu/*.c kernels/cpu/*/*.c))

# --- objects ----------------------------------------------------------------------------------
object   = $(patsubst %.c,$(OUT)/%.o,$(1))
EMBEDDED      := vocab unicode entities prompts#  data that is compiled into the program
FILE_vocab    := data/vocab/bpe_merges.txt.gz
FILE_unicode  := data/vocab/unicode.txt
FILE_entities := data/vocab/entities.txt
FILE_prompts  := data/prompts/prompts.txt
MAIN    := $(wildcard host/cli/*.c)#  the command line: not part of the library
LIBRARY := $(call object,$(filter-out $(MAIN),$(wildcard host/*/*.c)) $(wildcard io/*/*.c) $(filter-out kernels/no_cuda.c,$(wildcard kernels/*.c)) $(wildcard kernels/plan/*.c) $(CPU_ONCE)) \
           $(patsubst %,$(OUT)/embedded/%.o,$(EMBEDDED)) \
           $(foreach i,$(ISAS),$(patsubst kernels/cpu/%.c,$(OUT)/kernels/cpu/$i/%.o,$(CPU_PER_ISA) kernels/cpu/gemm/gemm_$i.c)) $(BITS16_OBJECTS)
NO_CUDA     := $(call object,kernels/no_cuda.c)
CUDA_OBJECTS := $(CUDA_SOURCES:%.cu=$(OUT)/%.o)
# Kernels whose blocks wait for each other: inside tests-cuda they give up after 2 s (kernels/cuda/backend/wait.h), where a GPU
# can run them.
WAITING      := $(if $(or $(wildcard /dev/nvidiactl /dev/dxg),$(filter kit,$(CONFIG))),$(filter $(addprefix kernels/cuda/,inner/%.cu train/linear_grad.cu train/head_grad.cu),$(CUDA_SOURCES)))
TEST_KERNELS := $(filter-out $(WAITING:%.cu=$(OUT)/%.o),$(CUDA_OBJECTS)) $(WAITING:%.cu=$(OUT)/waits/%.o)
EMU_KERNELS := $(CUDA_SOURCES:%.cu=$(OUT)/emu/%.o)
EMU_OBJECTS := $(EMU_KERNELS) $(EMU_SOURCES:%.cpp=$(OUT)/emu/%.o)
BACKEND     := $(if $(filter 1,$(USE_CUDA)),$(CUDA_OBJECTS),$(NO_CUDA))#  of `turtle`, with BACKEND_LIBS
BACKEND_LIBS := $(if $(filter 1,$(USE_CUDA)),$(CUDA_LIBS))
PROGRAM := $(OUT)/turtle

all: $(PROGRAM)                 ## build/turtle: the program (a link to the last configuration built)
	@ln -sfn $(patsubst build/%,%,$(PROGRAM)) build/turtle
	@echo "built build/turtle -> $(PROGRAM); $(wordlist 2,99,$(nvcc_found))$(if $(and $(NVCC),$(filter 0,$(USE_CUDA))),; no CUDA kernels in this version: CPU backend)"

emu:                            ## build/turtle-emu: `--device cuda` runs the CUDA kernels on the CPU, thread by thread
ifeq ($(USE_EMU),1)
emu: $(OUT)/turtle-emu
	@ln -sfn $(patsubst build/%,%,$<) build/turtle-emu
	@echo "built build/turtle-emu -> $<"
else
	@echo "no emulator: $(if $(EMU_CXX),this version has no CUDA kernels,$(wordlist 2,99,$(cxx_found)))"
endif

$(PROGRAM): $(call object,$(MAIN)) $(LIBRARY) $(BACKEND)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(BACKEND_LIBS) $(LDLIBS) -o $@
$(OUT)/turtle-emu: $(call object,$(MAIN)) $(LIBRARY) $(EMU_OBJECTS)
	@echo "link $@"
	$(Q)$(EMU_CXX) $(EMU_LINK) $^ $(LDLIBS) -lstdc++ -o $@

kernel-objects: $(if $(NVCC),$(CUDA_OBJECTS)) $(if $(EMU_CXX),$(EMU_KERNELS))# compiles the kernels, links nothing

# What ptxas says of registers, spills and stacks is kept: tests/spills reads it. So is the PTX of persistent kernels,
# which tests/coherent reads.
KEEPS_PTX = $(filter kernels/cuda/inner/%.cu tests/planted/stale.cu,$<)
define nvcc_compile
	@mkdir -p $(@D) $(if $(KEEPS_PTX),$(@:.o=.keep))
	@echo "nvcc $<"
	$(Q)$(NVCC) $(NVFLAGS) $(if $(KEEPS_PTX),--keep --keep-dir $(@:.o=.keep)) -c $< -o $@ -MF $(@:.o=.d) >$(@:.o=.ptxas) 2>&1 || { cat $(@:.o=.ptxas); exit 1; }
	@$(if $(KEEPS_PTX),cat $(@:.o=.keep)/*.ptx >$(@:.o=.ptx) && rm -r $(@:.o=.keep))
	@$(if $(filter tests/planted/%,$<),,grep -i warning $(@:.o=.ptxas) || true)
endef
$(OUT)/%.o: %.cu
	$(nvcc_compile)
$(OUT)/waits/%.o: NVFLAGS += -DBOUNDED_WAITS
$(OUT)/waits/%.o: %.cu
	$(nvcc_compile)
$(OUT)/emu/%.o: %.cu
	@mkdir -p $(@D)
	@echo "c++ $<"
	$(Q)$(EMU_CXX) $(EMU_FLAGS) $(EMU_KERNEL_OPT) -x c++ -c $< -o $@
$(OUT)/emu/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "c++ $<"
	$(Q)$(EMU_CXX) $(EMU_FLAGS) -c $< -o $@

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
$(foreach i,$(ISAS) avx512vnni avx512bf16 amx amx-emulated,$(eval $(call isa_rule,$i)))

# A file as a C array, `const Embedded embedded_<name>` of io/files/embedded.h.
define embed_rule
$(OUT)/embedded/$(1).o: $(FILE_$(1)) io/files/embedded.h
	@mkdir -p $$(@D)
	@echo "embed $$<"
	$$(Q){ echo '#include "io/files/embedded.h"'; echo 'static const uint8_t bytes[] ='; \
	  od -An -v -tx1 $$< | sed 's/ /\\x/g; s/.*/"&"/'; \
	  echo '; const Embedded embedded_$(1) = {bytes, sizeof bytes - 1};'; } | $$(CC) -std=c11 -I. -x c -c - -o $$@
endef
$(foreach e,$(EMBEDDED),$(eval $(call embed_rule,$e)))

# stb_image is included, never linked
CFLAGS_stb := -w
$(addprefix $(OUT)/io/,files/stb.o files/gzip.o images/image_png.o images/image_jpeg.o images/image_jpeg_pixels.o): | stb
stb:
	@.ci/packages $(PACKAGES) "$(CC)" stb/stb_image.h libstb-dev

# What `--version` says; rewritten only when it changes.
CFLAGS_info := -I$(OUT)
$(OUT)/version.h: FORCE
	@mkdir -p $(@D)
	@printf '#define TURTLE_VERSION "%s"\n#define TURTLE_COMMIT "%s"\n#define TURTLE_COMPILER "%s"\n#define TURTLE_CUDA "%s"\n' \
	  '$(VERSION)' "$$(git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)" \
	  "$$($(CC) --version | head -n 1)" '$(if $(filter 1,$(USE_CUDA)),$(word 3,$(nvcc_found)) for $(ARCH),none)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

# Recorded files are stored deflated; unpacked once for all configurations, they lie in build/data and build/goldens.
RECORDED := build/recorded
$(RECORDED): data/unpack data/recorded.sha256 build/planes $(shell find data/demo tests/goldens -name '*.planes?.gz')
	@data/unpack build/planes build && touch $@
build/planes: data/planes.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O2 -Wall -Wextra $< -o $@.$(notdir $(OUT)) && mv $@.$(notdir $(OUT)) $@

demo: all                       ## pictures -> features -> classes: 10 000 handwritten digits, under a minute
	@data/demo/run build/turtle build/demo

# --- tests ------------------------------------------------------------------------------------
# One program per backend; a test's folder says which ones run it.
GPU_TESTS   := $(wildcard tests/both/*.c tests/gpu/*.c)
CPU_TESTS   := $(wildcard tests/both/*.c tests/cpu/*/*.c)
EMU_TESTS   := $(GPU_TESTS) $(wildcard tests/emu/*.cu)
CUDA_TESTS  := $(wildcard tests/gpu/*.cu)#  compiled like kernels
TEST_OBJECTS_cpu  := $(CPU_TESTS:%.c=$(OUT)/%.o)
TEST_OBJECTS_emu  := $(addsuffix .o,$(addprefix $(OUT)/emu/,$(basename $(EMU_TESTS) $(CUDA_TESTS))))
TEST_OBJECTS_cuda := $(addsuffix .o,$(addprefix $(OUT)/cuda/,$(basename $(GPU_TESTS)))) $(CUDA_TESTS:%.cu=$(OUT)/%.o)
TEST_BACKENDS := $(if $(filter race,$(CONFIG)),,cpu) $(if $(filter 1,$(USE_EMU)),emu $(if $(filter release,$(CONFIG)),race)) $(if $(filter 1,$(USE_CUDA)),cuda)
TEST_PROGRAMS := $(TEST_BACKENDS:%=$(OUT)/tests-%) $(if $(filter 1,$(USE_CUDA)),$(OUT)/tests/planted/spill.o $(OUT)/tests/planted/stale.o)
WITHOUT := $(if $(filter 0,$(USE_EMU)),no emulator: $(if $(EMU_CXX),this version has none,$(wordlist 2,99,$(cxx_found)));) \
           $(if $(filter 0,$(USE_CUDA)),no GPU: $(if $(NVCC),this version has no CUDA kernels,$(wordlist 2,99,$(nvcc_found))))
# what .ci/tools counts; who says CUDA=0 does not miss nvcc
ABSENT  := $(if $(EMU_CXX),,g++) $(if $(or $(NVCC),$(filter 0,$(CUDA)),$(filter race,$(CONFIG))),,nvcc)

test: $(TEST_PROGRAMS) $(OUT)/fault all emu bench-programs          ## all suites; ends with `N passed, N failed`
	@WITHOUT="$(strip $(WITHOUT))" ABSENT="$(strip $(ABSENT))" tests/run $(CONFIG) $(OUT) $(TEST_BACKENDS)

test-full: $(TEST_PROGRAMS) $(OUT)/fault all emu    ## the same, all recorded runs, and everything again under the sanitizers
	@WITHOUT="$(strip $(WITHOUT))" ABSENT="$(strip $(ABSENT))" TURTLE_TEST_FULL=1 tests/run $(CONFIG) $(OUT) $(TEST_BACKENDS)
	@$(MAKE) --no-print-directory test CONFIG=debug
	@$(MAKE) --no-print-directory test CONFIG=race

test-gpu:                       ## the tests of the CUDA kernels on a GPU; without one they fail
ifeq ($(USE_CUDA),1)
test-gpu: $(filter-out %cpu %emu,$(TEST_PROGRAMS)) all
	@REQUIRE_GPU=1 tests/run $(CONFIG) $(OUT) cuda
else
	@echo "test-gpu: $(if $(NVCC),this version has no CUDA kernels,$(wordlist 2,99,$(nvcc_found)))" >&2; exit 1
endif

TARGET  ?= image
SECONDS ?= 600
CORPUS  := build/fuzz-corpus
fuzz:                           ## libFuzzer on one reader: TARGET=image SECONDS=600 SEEDS="folders"; a crash fails and leaves its input
	@$(FUZZ_CC) --version >/dev/null 2>&1 || { echo "fuzz: '$(FUZZ_CC)' does not work; install clang (Debian, Ubuntu: apt-get install clang) or give FUZZ_CC=" >&2; exit 1; }
	@$(MAKE) --no-print-directory CONFIG=fuzz CC="$(FUZZ_CC)" CUDA=0 build/fuzz-cpu/fuzz
	@mkdir -p $(CORPUS)/$(TARGET)
	@FUZZ_TARGET=$(TARGET) build/fuzz-cpu/fuzz -max_total_time=$(SECONDS) -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
	  -artifact_prefix=$(CORPUS)/$(TARGET)- $(CORPUS)/$(TARGET) $(SEEDS) >$(CORPUS)/$(TARGET).log 2>&1 || { tail -n 60 $(CORPUS)/$(TARGET).log; exit 1; }
	@echo "fuzz $(TARGET): $$(sed -n 's/stat::number_of_executed_units: *//p' $(CORPUS)/$(TARGET).log) executions in $(SECONDS) s, no crash"

sanitize:                       ## compute-sanitizer over them: memcheck, racecheck, initcheck
ifeq ($(USE_CUDA),1)
sanitize: $(OUT)/tests-cuda
endif
	@tests/sanitize $(OUT)

CRITERION := -I$(PACKAGES)/usr/include -L$(PACKAGES)/usr/lib/$(shell $(CC) -dumpmachine) -Wl,--disable-new-dtags,-rpath,$(abspath $(PACKAGES))/usr/lib/$(shell $(CC) -dumpmachine)
TEST_FLAGS_cpu  = $(firstword $(CRITERION)) -DTURTLE_PROGRAM='"$(PROGRAM)"'
TEST_FLAGS_emu  = $(firstword $(CRITERION)) -DTURTLE_PROGRAM='"$(OUT)/turtle-emu"' -DTEST_CUDA -DTEST_EMULATED $(TEST_CHECKED)
TEST_FLAGS_cuda = $(firstword $(CRITERION)) -DTURTLE_PROGRAM='"$(PROGRAM)"' -DTEST_CUDA $(TEST_CHECKED)
TEST_CHECKED    = $(if $(filter debug,$(CONFIG)),-DCHECK_LAUNCHES)
$(TEST_OBJECTS_cpu): CFLAGS += $(TEST_FLAGS_cpu)
$(TEST_OBJECTS_emu): EMU_FLAGS += $(TEST_FLAGS_emu)
$(TEST_OBJECTS_cpu) $(TEST_OBJECTS_emu) $(TEST_OBJECTS_cuda): | criterion $(RECORDED)
define gpu_test_rule
$(OUT)/$(1)/tests/%.o: tests/%.c | $(OUT)/version.h
	@mkdir -p $$(@D)
	@echo "cc $$< ($(1))"
	$$(Q)$$(CC) $$(CFLAGS) $$(TEST_FLAGS_$(1)) -c $$< -o $$@
endef
$(foreach b,emu cuda,$(eval $(call gpu_test_rule,$b)))
$(OUT)/fault: tests/planted/fault.c | $(OUT)/version.h
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< -o $@
$(OUT)/tests-cpu: $(TEST_OBJECTS_cpu) $(call object,host/cli/flags.c host/cli/progress.c) $(LIBRARY) $(NO_CUDA)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(wordlist 2,3,$(CRITERION)) -lcriterion $(LDLIBS) -o $@
# ThreadSanitizer leaves Criterion no memory where it wants it: a runner of our own
RACE_RUNNER := $(if $(filter race,$(CONFIG)),$(OUT)/tests/support/race_runner.o)
$(OUT)/tests/support/race_runner.o: CFLAGS += $(firstword $(CRITERION))
$(OUT)/tests/support/race_runner.o: | criterion
$(OUT)/tests-emu: $(TEST_OBJECTS_emu) $(LIBRARY) $(EMU_OBJECTS) $(RACE_RUNNER)
	@echo "link $@"
	$(Q)$(EMU_CXX) $(EMU_LINK) $^ $(if $(RACE_RUNNER),,$(wordlist 2,3,$(CRITERION)) -lcriterion) $(LDLIBS) -lstdc++ -o $@
# The emulator's own tests once more, their kernels under ThreadSanitizer: CONFIG=race does it to all kernels
RACE_OBJECTS := $(patsubst %.cu,$(OUT)/race/%.o,$(wildcard tests/emu/*.cu)) $(OUT)/tests/support/race_runner.o
$(OUT)/race/%.o: %.cu | criterion
	@mkdir -p $(@D)
	@echo "c++ $< (race)"
	$(Q)$(EMU_CXX) $(EMU_FLAGS) $(firstword $(CRITERION)) -DTEST_CUDA -DTEST_EMULATED -O1 -g -fno-strict-aliasing -fsanitize=thread -x c++ -c $< -o $@
$(OUT)/tests-race: $(RACE_OBJECTS) $(EMU_SOURCES:%.cpp=$(OUT)/emu/%.o)
	@echo "link $@"
	$(Q)$(EMU_CXX) $(EMU_LINK) -fsanitize=thread $^ $(LDLIBS) -lstdc++ -o $@
$(OUT)/tests-cuda: $(TEST_OBJECTS_cuda) $(LIBRARY) $(TEST_KERNELS)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(wordlist 2,3,$(CRITERION)) -lcriterion $(CUDA_LIBS) $(LDLIBS) -o $@
# libFuzzer brings main and, with it, the C++ runtime
FUZZ_CC ?= clang
$(OUT)/fuzz: $(OUT)/tests/support/fuzz.o $(LIBRARY) $(NO_CUDA)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@
criterion: | stb#  one apt-get at a time
	@.ci/packages $(PACKAGES) "$(CC)" criterion/criterion.h libcriterion-dev

# --- bench ------------------------------------------------------------------------------------
BENCH := $(patsubst %,$(OUT)/bench-%,training operations assignment encoders images random_weights probe kmeans)
PARTS ?= training operations assignment growth encoders images probe kmeans
GPU_BENCH    := bench/programs/gpu bench/roofs/roofs_memory bench/roofs/roofs_reduction bench/roofs/roofs_launch bench/roofs/roofs_arithmetic
BENCH_SHARED := $(OUT)/bench/programs/bench.o $(OUT)/bench/programs/peaks.o
BENCH_GPU    := $(if $(filter 1,$(USE_CUDA)),$(GPU_BENCH:%=$(OUT)/%.o),$(OUT)/bench/programs/no_gpu.o)
ROOFS        := $(if $(filter 1,$(USE_CUDA)),$(OUT)/bench-roofs)
bench-programs: $(BENCH) $(ROOFS)
bench: bench-programs $(RECORDED) ## speed beside PyTorch, SciPy, Pillow, scikit-learn, faiss: PYTHON="interpreters" PARTS="training ..."; on a GPU roofs gpu-operations gpu-training
	@for part in $(PARTS); do bench/run $$part $(OUT) "$(PYTHON)" || exit; done

profile: all $(RECORDED)        ## one run under nsys and ncu, as far as they are here: K=part of a kernel's name
	@bench/profile $(PROGRAM) $(OUT)/profile "$(K)"

bench-compare:                  ## two result files: A=old.json B=new.json
	@bench/table --compare "$(A)" "$(B)"

results:                        ## writes the newest results into README.md
	@bench/readme

CFLAGS_peaks := -ffp-contract=fast
$(BENCH): $(OUT)/bench-%: $(OUT)/bench/programs/%.o $(BENCH_SHARED) $(BENCH_GPU) $(LIBRARY) $(BACKEND)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(BACKEND_LIBS) $(LDLIBS) -o $@
$(OUT)/bench-roofs: $(OUT)/bench/roofs/roofs.o $(OUT)/bench/programs/bench.o $(BENCH_GPU)
	@echo "link $@"
	$(Q)$(CC) $(LDFLAGS) $^ $(BACKEND_LIBS) $(LDLIBS) -o $@
# on the emulator: whether they run, not how fast
bench-emu: $(if $(filter 1,$(USE_EMU)),$(patsubst %,$(OUT)/emu/bench-%,roofs operations training))
$(OUT)/emu/bench-operations $(OUT)/emu/bench-training: $(OUT)/emu/bench-%: $(OUT)/bench/programs/%.o $(BENCH_SHARED) $(GPU_BENCH:%=$(OUT)/emu/%.o) $(LIBRARY) $(EMU_OBJECTS)
	@echo "link $@"
	$(Q)$(EMU_CXX) $(EMU_LINK) $^ $(LDLIBS) -lstdc++ -o $@
$(OUT)/emu/bench-roofs: $(OUT)/emu/bench/roofs/roofs.o $(OUT)/bench/programs/bench.o $(GPU_BENCH:%=$(OUT)/emu/%.o) $(EMU_SOURCES:%.cpp=$(OUT)/emu/%.o)
	@echo "link $@"
	$(Q)$(EMU_CXX) $(EMU_LINK) $^ $(LDLIBS) -lstdc++ -o $@

# A folder that is carried to a machine with a GPU, where nothing can be built: kernels for sm_90a alone.
KIT_PROGRAMS := tests-cuda turtle bench-roofs bench-operations bench-training
kit-programs: $(KIT_PROGRAMS:%=$(OUT)/%) build/planes
gpu-kit:                        ## build/gpu-kit: tests, bench and run.sh for a GPU machine; DATA=1 where the tree will not be there
	@$(MAKE) --no-print-directory CONFIG=kit ARCH=sm_90a CUDA=1 kit-programs
	@DATA="$(DATA)" bench/gpu_kit build/kit build/gpu-kit $(KIT_PROGRAMS)

# --- keeping house ----------------------------------------------------------------------------
SOURCES := $(wildcard host/*.h $(addsuffix /*.[ch],host/* io io/* kernels kernels/plan kernels/cpu kernels/cpu/* tests/* tests/*/* bench/*) data/*.c)
# gemm_avx512bf16.c needs flags of its own; its body is pair_tile.h, seen through bf16.c
LINTED  := $(filter-out tests/% kernels/cpu/gemm/gemm_avx512bf16.c,$(filter %.c,$(SOURCES)))
LINT_CORES = $(shell nproc 2>/dev/null || echo 2)
lint: $(OUT)/version.h | stb    ## clang-tidy and cppcheck; every exception is explained where it stands
	@missing="$$(.ci/tools missing lint)"; [ -z "$$missing" ] || { echo "lint: not here: $$missing" >&2; exit 1; }
	@echo "clang-tidy: $(words $(LINTED)) files"
	$(Q)printf '%s\n' $(LINTED) | xargs -n 1 -P $(LINT_CORES) sh -c 'said=$$(clang-tidy --quiet "$$1" -- -std=c11 -D_GNU_SOURCE -DISA_NAME=avx2 $(ISA_avx2) \
	  -I. -I$(OUT) -isystem $(PACKAGES)/usr/include 2>&1) || { echo "$$said"; exit 1; }' lint
	@echo "cppcheck: host io kernels"
	$(Q)# invalidFunctionArg: it believes that a sum of exp(x - max x) can be 0; the maximum itself adds 1
	$(Q)cppcheck --quiet -j $(LINT_CORES) --enable=warning,performance,portability --suppress=invalidFunctionArg --error-exitcode=1 --std=c11 -I. -DISA_NAME=avx2 host io kernels

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
	@echo "  CONFIG=release|debug|race  CUDA=auto|0|1  ARCH=\"$(ARCH)\""

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
.PHONY: all emu kernel-objects demo test test-full test-gpu fuzz sanitize bench profile bench-programs bench-emu kit-programs gpu-kit bench-compare results criterion stb lint format install uninstall clean help FORCE
.DELETE_ON_ERROR:

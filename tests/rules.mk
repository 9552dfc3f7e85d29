# tests/rules.mk - one test program per backend; the folder of a test says which of them run it.
GPU_TESTS := $(wildcard tests/both/*.c tests/gpu/*.c)
CPU_TESTS := $(wildcard tests/both/*.c tests/cpu/*/*.c)
GPU_CU    := $(wildcard tests/gpu/*.cu)
OBJECTS_cpu  := $(CPU_TESTS:%.c=$(OUT)/cpu/%.o)
OBJECTS_cuda := $(GPU_TESTS:%.c=$(OUT)/cuda/%.o) $(GPU_CU:%.cu=$(OUT)/%.o)
OBJECTS_emu  := $(GPU_TESTS:%.c=$(OUT)/emu/%.o) $(patsubst %.cu,$(OUT)/emu/%.o,$(EMU_TESTS) $(GPU_CU))
BACKENDS := $(if $(filter race,$(CONFIG)),,cpu) $(if $(USE_CXX),emu $(if $(filter release,$(CONFIG)),race)) $(if $(NVCC),cuda)
PROGRAMS := $(BACKENDS:%=$(OUT)/tests-%) $(if $(NVCC),$(patsubst %,$(OUT)/tests/planted/%.o,spill stale loops))

# tests/run prints what is not built, and fails in CI over compilers that are absent; who says CUDA=0 does not miss nvcc.
RUN = PTX_FILES=$(words $(filter kernels/%,$(KEEPS_PTX))) WAITING_FILES=$(words $(WAITING)) TURTLE_BUILD=$(BUILD) \
  WITHOUT="$(if $(USE_CXX),,no emulator: $(FAULT_CXX);) $(if $(NVCC),,no GPU: $(FAULT_NVCC))" \
  ABSENT="$(if $(USE_CXX),,g++) $(if $(NVCC)$(filter 0,$(PROBED)),,nvcc)" tests/run $(CONFIG) $(OUT)
ALL := packages $(if $(NVCC),$(CUDA_SLOWEST)) $(PROGRAMS) $(LADDER) $(OUT)/fault all $(if $(filter release,$(CONFIG)),lib) $(if $(USE_CXX),emu) bench-programs
test: $(ALL)                    ## all suites; ends with `N passed, N failed`
	@$(RUN) $(BACKENDS)
test-full: $(ALL)               ## all recorded runs too; all suites under the sanitizers
	@TURTLE_TEST_FULL=1 $(RUN) $(BACKENDS)
	@$(MAKE) --no-print-directory test CONFIG=debug
	@$(MAKE) --no-print-directory test CONFIG=race
	@$(MAKE) --no-print-directory test-threads
	@MAKE="$(MAKE)" tests/machines $(BUILD)
	@tests/exercises/run $(BUILD)
test-threads:                   ## calls of two threads in one process, under ThreadSanitizer; a planted race must be found
	@$(MAKE) --no-print-directory CONFIG=threads CUDA=0 $(BUILD)/threads-cpu/two_calls
	@tests/threads $(BUILD)/threads-cpu/two_calls
test-gpu: $(if $(NVCC),all $(OUT)/tests-cuda $(OUT)/ladder $(filter %.o,$(PROGRAMS)))    ## the tests of CUDA kernels; without a GPU they fail
	@[ "$<" ] || { echo "test-gpu: $(FAULT_NVCC)" >&2; exit 1; }
	@REQUIRE_GPU=1 $(RUN) cuda
	@echo "once more, on 4 SMs:" && REQUIRE_GPU=1 TURTLE_SMS=4 $(RUN) cuda
sanitize: $(if $(NVCC),$(OUT)/tests-cuda)     ## compute-sanitizer over the tests of the CUDA kernels
	@tests/sanitize $(OUT)

CRITERION := $(if $(OWN_RUNNER),,-L$(PACKAGES)/usr/lib/$(CC_TARGET) -Wl,--disable-new-dtags,-rpath,$(abspath $(PACKAGES))/usr/lib/$(CC_TARGET) -lcriterion)
RUNNER_O  := $(if $(OWN_RUNNER),$(OUR_RUNNER))
CHECKED   := -DTEST_CUDA $(if $(filter debug,$(CONFIG)),-DCHECK_LAUNCHES)
TESTED    := $(if $(UNDER),$(OUT)/turtle-under,$(TURTLE))#  the program that tests call, by one name
TEST_FLAGS_cpu  := -DTURTLE_BUILD='"$(BUILD)"' -DTURTLE_PROGRAM='"$(TESTED)"'
TEST_FLAGS_cuda := $(TEST_FLAGS_cpu) $(CHECKED)
TEST_FLAGS_emu  := -DTURTLE_BUILD='"$(BUILD)"' -DTURTLE_PROGRAM='"$(OUT)/turtle-emu"' $(CHECKED) -DTEST_EMULATED
# Tests of readers and of the program compute little: -O1 compiles them in half the time.
OPT_OF_io := -O1
OPT_OF_datasets := -O1
OPT_OF_program := -O1
OPT_OF_train := $(if $(filter aarch64%,$(CC_TARGET)),-O1)#  -O3: an internal error of gcc 12 in kmeans_test.c
define test_rule
$(OUT)/$(1)/tests/%.o: tests/%.c $(OUT)/cc.flags | $(OUT)/version.h $(BUILD)/recorded
	@mkdir -p $$(@D) && echo "cc $$< ($(1))"
	$$(Q)$$(COMPILE_C) $$(if $$(filter release,$$(CONFIG)),$$(OPT_OF_$$(notdir $$(patsubst %/,%,$$(dir $$<))))) $$(TEST_FLAGS_$(1)) -c $$< -o $$@
endef
$(foreach b,cpu emu cuda,$(eval $(call test_rule,$b)))
$(OUT)/emu/tests/%.o: tests/%.cu $(OUT)/emu.flags
	@mkdir -p $(@D) && echo "c++ $<"
	$(Q)$(COMPILE_EMU) $(EMU_KERNEL_OPT) $(TEST_FLAGS_emu) -x c++ -c $< -o $@

$(OUT)/tests-cpu: $(OBJECTS_cpu) $(call object,host/cli/flags.c host/cli/progress.c host/cli/cluster_table.c) $(LIBRARY) $(OUT)/kernels/no_cuda.o $(RUNNER_O) | $(OUT)/toy$(if $(UNDER),-under)
	@echo "link $@"
	$(Q)$(LINK_C) $(CRITERION) $(LIBS) -o $@
$(OUT)/tests-cuda: $(OBJECTS_cuda) $(LIBRARY) $(TEST_KERNELS) $(RUNNER_O)
	@echo "link $@"
	$(Q)$(LINK_C) $(CRITERION) $(CUDA_LIBS) $(LIBS) -o $@
$(OUT)/tests-emu: $(OBJECTS_emu) $(LIBRARY) $(EMU_KERNELS) $(LADDER_CU:%.cu=$(OUT)/emu/%.o) $(EMULATOR) $(RUNNER_O)
	@echo "link $@"
	$(Q)$(LINK_EMU) $(CRITERION) $(LIBS) -lstdc++ -o $@
$(OUT)/turtle-under $(OUT)/toy-under: $(OUT)/%-under: $(OUT)/%
	@printf '#!/bin/sh\nexec $(UNDER) $(abspath $<) "$$@"\n' >$@ && chmod +x $@
$(OUT)/fault: $(OUT)/tests/planted/fault.o
	$(Q)$(LINK_C) -o $@

$(OUT)/two_calls: tests/support/two_calls.c $(OUT)/lib/turtle.h $(LIBRARY) $(OUT)/kernels/no_cuda.o
	@echo "link $@"
	$(Q)$(LINK_C) -I$(OUT)/lib $(filter-out -MMD -MP,$(OPT_$(CONFIG))) $< $(LIBS) -o $@

$(OUT)/fuzz: $(OUT)/tests/support/fuzz.o $(LIBRARY) $(OUT)/kernels/no_cuda.o#  libFuzzer brings main
	@echo "link $@"
	$(Q)$(LINK_C) -fsanitize=fuzzer $(LIBS) -o $@
fuzz:                           ## libFuzzer on a reader: TARGET=image SECONDS=600 SEEDS="folders"; a crash fails, its input stays
	@tests/fuzz --check "$(or $(FUZZ_CC),clang)"
	@$(MAKE) --no-print-directory CONFIG=fuzz CC="$(or $(FUZZ_CC),clang)" CUDA=0 $(BUILD)/fuzz-cpu/fuzz
	@tests/fuzz $(BUILD)/fuzz-cpu/fuzz $(BUILD)/fuzz-corpus $(or $(TARGET),image) $(or $(SECONDS),600) $(SEEDS)
picture: demo                   ## data/report.jpg, the README's picture: the head of the demo's report; it asks for chromium
	@tests/browser --picture $(BUILD)/demo/report.html data/report.jpg
lint: all                       ## clang-tidy, cppcheck, and what the documents and the order of folders promise
	@tests/lint $(OUT) $(PACKAGES) $(ISA_avx2)
format:                         ## clang-format over every C source but those of kernels/cuda and kernels/emu
	find data host io kernels tests bench -name '*.[ch]' ! -path 'kernels/cuda/*' ! -path 'kernels/emu/*' -exec clang-format -i {} +
.PHONY: test test-threads test-full test-gpu sanitize fuzz picture lint format

# kernels/emu/rules.mk - the emulator: a C++ compiler builds the very sources that nvcc builds for a GPU.
EMU_OPT_release := -O2 -g#  -g: a debugger stops in the kernels (README.md)
EMU_OPT_debug   := $(OPT_debug) -O2 -DCHECK_LAUNCHES
EMU_OPT_race    := -O1 -g
# A kernel runs as fast with -Og as with -O1, for its time is that of the switches between threads, and compiles in a quarter:
# inner_tiled.cu 9 s, not 34. A debugger finds every variable, too.
EMU_KERNEL_OPT_release := -Og
EMU_KERNEL_OPT_debug   := -Og
# Under race the kernels alone are instrumented, not the emulator.
EMU_KERNEL_OPT  := $(EMU_KERNEL_OPT_$(CONFIG)) -fno-strict-aliasing $(if $(filter race,$(CONFIG)),-fsanitize=thread)
EMU_WARNINGS    := -Wall -Wextra -Wno-psabi $(if $(CXX_CLANG),-Wno-pass-failed,-Wno-maybe-uninitialized)
COMPILE_EMU     := $(USE_CXX) -std=c++17 -D_GNU_SOURCE $(EMU_WARNINGS) -MMD -MP -fvisibility=hidden -I. -Ikernels/emu/include \
                   $(OWN_RUNNER) -isystem $(PACKAGES)/usr/include $(EMU_OPT_$(CONFIG)) $(CPPFLAGS) $(CXXFLAGS)
LINK_EMU         = $(USE_CXX) $(LD_FLAGS) $(if $(filter race,$(CONFIG)),-fsanitize=thread) $(CXXFLAGS) $(LDFLAGS) $(filter %.o,$^)
EMULATOR    := $(patsubst %.cpp,$(OUT)/emu/%.o,$(wildcard kernels/emu/*.cpp))
EMU_KERNELS := $(CUDA_SOURCES:%.cu=$(OUT)/emu/%.o)
emu: $(if $(USE_CXX),$(OUT)/turtle-emu)   ## build/turtle-emu: `--device cuda` runs CUDA kernels on the CPU, thread by thread
	@[ "$<" ] || { echo "emu: $(FAULT_CXX)" >&2; exit 1; }
	@ln -sfn $(<:$(BUILD)/%=%) $(BUILD)/turtle-emu && echo "built $(BUILD)/turtle-emu -> $<"
$(OUT)/turtle-emu: $(call object,$(MAIN)) $(LIBRARY) $(EMU_KERNELS) $(EMULATOR)
	@echo "link $@"
	$(Q)$(LINK_EMU) $(LIBS) -lstdc++ -o $@
$(OUT)/ladder-emu: $(call object,$(LADDER_C)) $(LADDER_CU:%.cu=$(OUT)/emu/%.o) $(EMULATOR)
	@echo "link $@"
	$(Q)$(LINK_EMU) $(LIBS) -lstdc++ -o $@
$(OUT)/emu/%.o: %.cu $(OUT)/emu.flags
	@mkdir -p $(@D) && echo "c++ $<"
	$(Q)$(COMPILE_EMU) $(EMU_KERNEL_OPT) -x c++ -c $< -o $@
$(OUT)/emu/%.o: %.cpp $(OUT)/emu.flags
	@mkdir -p $(@D) && echo "c++ $<"
	$(Q)$(COMPILE_EMU) -c $< -o $@
$(OUT)/emu.flags: FORCE
	@mkdir -p $(@D) && echo '$(subst ','\'',$(COMPILE_EMU) $(EMU_KERNEL_OPT))' $(call into,$@)
kernel-objects: $(if $(NVCC),$(CUDA_OBJECTS)) $(if $(USE_CXX),$(EMU_KERNELS))#  compiles the kernels, links nothing
.PHONY: emu kernel-objects

# The emulator's own tests, and whole encoders, run once more with their kernels under ThreadSanitizer; CONFIG=race does it to
# all kernels. ThreadSanitizer leaves Criterion no memory where it wants it, so the runner is our own.
EMU_TESTS    := $(wildcard tests/emu/*.cu)
RACE_TESTS   := tests/gpu/encode_schedules_test.c
RACE_USES    := tests/gpu/device_memory.cu
RACE_KERNELS := $(wildcard kernels/cuda/encode/*.cu)
OUR_RUNNER   := $(OUT)/tests/support/runner/runner.o
RACE_FLAGS   := -DTEST_CUDA -DTEST_EMULATED -Itests/support/runner -g
$(OUT)/race/%.o: %.cu $(OUT)/emu.flags
	@mkdir -p $(@D) && echo "c++ $< (race)"
	$(Q)$(COMPILE_EMU) $(RACE_FLAGS) $(if $(filter kernels/%,$<),-Og,-O1) -fno-strict-aliasing -fsanitize=thread -x c++ -c $< -o $@
$(OUT)/race/%.o: %.c $(OUT)/cc.flags | $(BUILD)/recorded
	@mkdir -p $(@D) && echo "cc $< (race)"
	$(Q)$(COMPILE_C) $(TEST_FLAGS_emu) $(RACE_FLAGS) -c $< -o $@
# The instrumented objects come first: of an inline function that several objects hold the linker takes the first.
$(OUT)/tests-race: $(RACE_KERNELS:%.cu=$(OUT)/race/%.o) $(EMU_TESTS:%.cu=$(OUT)/race/%.o) $(RACE_TESTS:%.c=$(OUT)/race/%.o) \
  $(OUR_RUNNER) $(LIBRARY) $(patsubst %.cu,$(OUT)/emu/%.o,$(RACE_USES) $(filter-out $(RACE_KERNELS),$(CUDA_SOURCES))) $(EMULATOR)
	@echo "link $@"
	$(Q)$(LINK_EMU) -fsanitize=thread $(LIBS) -lstdc++ -o $@

# bench/rules.mk - programs that measure, what prints and publishes their results, and the kit for a machine with a GPU.
BENCH  := $(patsubst %,$(OUT)/bench-%,training operations assignment encoders layers images datasets random_weights probe kmeans)
SHARED := $(patsubst %,$(OUT)/bench/programs/%.o,bench peaks replay pictures)
GPU_BENCH := bench/programs/gpu $(patsubst %,bench/roofs/roofs_%,memory reduction launch arithmetic)
BENCH_GPU := $(if $(NVCC),$(GPU_BENCH:%=$(OUT)/%.o),$(OUT)/bench/programs/no_gpu.o)
FLAGS_peaks := -ffp-contract=fast
bench-programs: $(BENCH) $(if $(NVCC),$(OUT)/bench-roofs)
bench: bench-programs $(BUILD)/recorded   ## speed beside PyTorch and others: PYTHON="interpreters" PARTS="training ..." (bench/run)
	@for part in $(or $(PARTS),training operations assignment growth encoders images datasets probe kmeans); do \
	  TURTLE_BUILD=$(BUILD) bench/run $$part $(OUT) "$(PYTHON)" || exit; done
bench-compare:                  ## two result files: A=old.json B=new.json
	@bench/table --compare "$(A)" "$(B)"
results:                        ## writes the newest results into the READMEs; what scatters is refused by name
	@bench/readme

# A GPU where there is one, else the emulator; PROGRAM=build/turtle-emu asks for it.
PROFILED := $(or $(PROGRAM),$(OUT)/turtle$(if $(and $(NVCC),$(wildcard /dev/nvidiactl /dev/dxg)),,$(if $(USE_CXX),-emu)))
profile: $(PROFILED) $(OUT)/bench-kmeans   ## kernels of one training, timed: K="part of a name" CASE="N 50000 d 768 C 10" PROGRAM=
	@bench/profile $(PROFILED) $(OUT)/profile $(OUT)/bench-kmeans "$(K)" "$(CASE)"

$(BENCH): $(OUT)/bench-%: $(OUT)/bench/programs/%.o $(SHARED) $(BENCH_GPU) $(LIBRARY) $(BACKEND)
	@echo "link $@"
	$(Q)$(LINK_C) $(BACKEND_LIBS) $(LIBS) -o $@
$(OUT)/bench-roofs: $(OUT)/bench/roofs/roofs.o $(OUT)/bench/programs/bench.o $(BENCH_GPU)
	@echo "link $@"
	$(Q)$(LINK_C) $(BACKEND_LIBS) $(LIBS) -o $@
# On the emulator they tell whether they run, not how fast.
bench-emu: $(if $(USE_CXX),$(patsubst %,$(OUT)/emu/bench-%,roofs operations training encoders layers))
$(patsubst %,$(OUT)/emu/bench-%,operations training encoders layers): $(OUT)/emu/bench-%: $(OUT)/bench/programs/%.o $(SHARED) \
  $(GPU_BENCH:%=$(OUT)/emu/%.o) $(LIBRARY) $(EMU_KERNELS) $(EMULATOR)
	@echo "link $@"
	$(Q)$(LINK_EMU) $(LIBS) -lstdc++ -o $@
$(OUT)/emu/bench-roofs: $(OUT)/emu/bench/roofs/roofs.o $(OUT)/bench/programs/bench.o $(GPU_BENCH:%=$(OUT)/emu/%.o) $(EMULATOR)
	@echo "link $@"
	$(Q)$(LINK_EMU) $(LIBS) -lstdc++ -o $@

# Where a measurement is to decide between two forms of a kernel, `#if defined(TURTLE_AB_<NAME>)` chooses the other form.
# The kit has a bench-training of each. The pair leaves the sources with the decision.
PAIRS := $(if $(filter kit,$(CONFIG)),$(shell grep -rhoE 'TURTLE_AB_[A-Z0-9_]+' kernels/cuda | sort -u))
define pair_rule
$(OUT)/$(1)/%.o: %.cu $(OUT)/nvcc.flags
	@echo "nvcc $$< ($(1))"
	$$(Q).ci/compile_cu $$< $$@ $$(COMPILE_CU) -D$(1)
OTHER_$(1) := $(filter $(CUDA_SOURCES),$(shell tests/waits --reach '$(1)'))
$(OUT)/bench-training-$(1): $(OUT)/bench/programs/training.o $(SHARED) $(BENCH_GPU) $(LIBRARY) \
  $$(filter-out $$(OTHER_$(1):%.cu=$(OUT)/%.o),$(CUDA_OBJECTS)) $$(OTHER_$(1):%.cu=$(OUT)/$(1)/%.o)
	@echo "link $$@"
	$$(Q)$$(LINK_C) $$(BACKEND_LIBS) $$(LIBS) -o $$@
endef
$(foreach p,$(PAIRS),$(eval $(call pair_rule,$p)))

# A folder that is carried to a machine with a GPU, where nothing can be built: kernels for sm_90a alone.
KIT := tests-cuda turtle bench-roofs bench-operations bench-training bench-encoders bench-layers bench-random_weights
kit-programs: packages $(KIT:%=$(OUT)/%) $(PAIRS:%=$(OUT)/bench-training-%) $(BUILD)/planes
gpu-kit:                        ## build/gpu-kit: tests, bench and run.sh for a GPU machine; DATA=1 where the tree will not be there
	@$(MAKE) --no-print-directory CONFIG=kit ARCH=sm_90a CUDA=1 kit-programs
	@DATA="$(DATA)" bench/gpu_kit $(BUILD)/kit $(BUILD)/gpu-kit $(KIT) \
	  $$(grep -rhoE 'TURTLE_AB_[A-Z0-9_]+' kernels/cuda | sort -u | sed 's/^/bench-training-/')
.PHONY: bench bench-programs bench-compare results profile bench-emu kit-programs gpu-kit

# kernels/rules.mk - kernels for CPUs and GPUs. The emulator compiles those for GPUs once more: kernels/emu/rules.mk.

# --- CPU: the plain C of kernels/cpu is compiled once for every instruction set, gemm/gemm_<set>.c for its own alone ----
ISAS             := portable $(if $(X86),avx2 avx512)
ISA_avx2         := -mavx2 -mfma -mf16c
ISA_avx512       := $(ISA_avx2) -mavx512f -mavx512vl -mavx512bw -mavx512dq
# Products of 16-bit numbers alone have sets of their own, one file each.
ISAS_16BIT       := $(if $(HAVE_BF16),avx512vnni avx512bf16 amx) amx-emulated
ISA_avx512vnni   := $(ISA_avx512) -mavx512vnni
ISA_avx512bf16   := $(ISA_avx512) -mavx512bf16
ISA_amx          := -mamx-tile -mamx-bf16
ISA_amx-emulated := -DAMX_EMULATED
KERNEL_OPT_debug := -O2 -g1#  -O3 -g takes 41 s for gemm_avx512.c alone, this 12; under -O1 a recorded run would take minutes
KERNEL_OPT_fuzz  := -fno-sanitize=all#  no bytes from outside reach a kernel
FLAGS_reference  := $(KERNEL_OPT_$(CONFIG))
FLAGS_dispatch   := -DHAVE_BF16=$(or $(HAVE_BF16),0)
CPU_ONCE    := $(wildcard $(addprefix kernels/cpu/,device.c dispatch.c threads.c cores.c) kernels/cpu/reference/*.c)
CPU_PER_ISA := $(filter-out $(CPU_ONCE) kernels/cpu/gemm/gemm_%.c,$(wildcard kernels/cpu/*.c kernels/cpu/*/*.c))
in_set       = $(patsubst kernels/cpu/%.c,$(OUT)/kernels/cpu/$(1)/%.o,$(2))#  objects of sources, for an instruction set
KERNELS     := $(call object,$(filter-out kernels/no_cuda.c,$(wildcard kernels/*.c)) $(wildcard kernels/plan/*.c) $(CPU_ONCE)) \
               $(foreach i,$(ISAS),$(call in_set,$i,$(CPU_PER_ISA) kernels/cpu/gemm/gemm_$i.c)) \
               $(call in_set,portable,kernels/cpu/gemm/gemm_int16.c) $(call in_set,amx-emulated,kernels/cpu/gemm/gemm_amx.c) \
               $(if $(HAVE_BF16),$(call in_set,avx512vnni,kernels/cpu/gemm/gemm_int16.c) \
               $(call in_set,avx512bf16,kernels/cpu/gemm/gemm_avx512bf16.c) $(call in_set,amx,kernels/cpu/gemm/gemm_amx.c))
define isa_rule
$(OUT)/kernels/cpu/$(1)/%.o: kernels/cpu/%.c $(OUT)/cc.flags
	@mkdir -p $$(@D) && echo "cc $$< ($(1))"
	$$(Q)$$(COMPILE_C) $$(KERNEL_OPT_$$(CONFIG)) -ffp-contract=fast -DISA_NAME=$(1) $$(ISA_$(1)) -c $$< -o $$@
endef
$(foreach i,$(ISAS) $(ISAS_16BIT),$(eval $(call isa_rule,$i)))

# --- GPU -------------------------------------------------------------------------------------------
LADDER_CU    := $(wildcard kernels/cuda/ladder/*.cu)#  for readers: in tests and in `make ladder`, never in the program
CUDA_SOURCES := $(filter-out $(LADDER_CU),$(wildcard kernels/cuda/*/*.cu))
CUDA_OBJECTS := $(CUDA_SOURCES:%.cu=$(OUT)/%.o)
# Half of nvcc's time goes into these; make test begins with them, so that no core waits for the last one at the end.
CUDA_SLOWEST := $(patsubst %,$(OUT)/kernels/cuda/%.o,inner/iteration_slab inner/inner_tiled train/task_step train/head_grad inner/inner_steps inner/inner_slab)
LADDER_STAYS := kernels/cuda/ladder/step6_stays.cu kernels/cuda/ladder/step7_cluster.cu
KEEPS_PTX    := $(wildcard kernels/cuda/inner/*.cu) $(LADDER_STAYS) tests/planted/stale.cu#  persistent kernels: tests/coherent reads their PTX
comma        := ,
# Unique symbols cannot be made local, and names of libturtle.a would stay global for them.
COMPILE_CU   := $(NVCC) -std=c++17 -O3 -lineinfo $(foreach a,$(ARCH),-gencode arch=$(a:sm_%=compute_%),code=$a) -I. -MMD -MP \
                $(if $(filter kit,$(CONFIG)),,-Xfatbin -compress-all) -Xptxas -v,--warn-on-spills -DCUDA_ARCHITECTURES='"$(ARCH)"' \
                -Xcompiler -Wall,-Wextra,-fPIC,-fvisibility=hidden$(if $(CXX_CLANG),,$(comma)-fno-gnu-unique),-fno-exceptions,-fno-rtti,-fno-threadsafe-statics \
                $(if $(filter debug,$(CONFIG)),-DCHECK_LAUNCHES -DBOUNDED_WAITS -Xcompiler -Werror) $(NVCCFLAGS)
CUDA_LIBS    := -L$(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))/lib64 -lcudart_static -lrt -ldl -lpthread
# Kernels whose blocks wait for each other: tests/waits says which those are. Where a GPU can run them, they give up inside
# tests-cuda after 2 s (backend/wait.h).
WAITING      := $(wildcard kernels/cuda/inner/*.cu) kernels/cuda/train/linear_grad.cu kernels/cuda/train/head_grad.cu \
                kernels/cuda/train/task_labels.cu kernels/cuda/train/task_step.cu kernels/cuda/encode/linear_wgmma.cu \
                kernels/cuda/ladder/step6_stays.cu kernels/cuda/ladder/step7_cluster.cu kernels/cuda/ladder/step8_wgmma.cu
BOUNDED      := $(if $(wildcard /dev/nvidiactl /dev/dxg)$(filter kit,$(CONFIG)),$(WAITING))
TEST_KERNELS := $(filter-out $(BOUNDED:%.cu=$(OUT)/%.o),$(CUDA_OBJECTS) $(LADDER_CU:%.cu=$(OUT)/%.o)) $(BOUNDED:%.cu=$(OUT)/waits/%.o)
BACKEND      := $(if $(NVCC),$(CUDA_OBJECTS),$(OUT)/kernels/no_cuda.o)#  of `turtle`, with BACKEND_LIBS
BACKEND_LIBS := $(if $(NVCC),$(CUDA_LIBS))
$(OUT)/%.o: %.cu $(OUT)/nvcc.flags
	@echo "nvcc $<"
	$(Q).ci/compile_cu $< $@ $(if $(filter $<,$(KEEPS_PTX)),--ptx) $(COMPILE_CU)
$(OUT)/waits/%.o: %.cu $(OUT)/nvcc.flags
	@echo "nvcc $< (waits)"
	$(Q).ci/compile_cu $< $@ $(COMPILE_CU) -DBOUNDED_WAITS
$(OUT)/nvcc.flags: FORCE
	@mkdir -p $(@D) && echo '$(subst ','\'',$(COMPILE_CU))' $(call into,$@)

# The ladder: `make ladder` prints it, and links what its lines for gdb call. Without nvcc the emulator's build prints the table.
LADDER    := $(if $(NVCC),$(OUT)/ladder) $(if $(USE_CXX),$(OUT)/ladder-emu)
LADDER_C  := kernels/cuda/ladder/main.c kernels/plan/devices.c
ladder: $(LADDER)               ## Eq. 13 in eight small kernels: idea, predicted and measured time, instructions (kernels/cuda/ladder)
	@[ "$<" ] || { echo "ladder: $(FAULT_NVCC); $(FAULT_CXX)" >&2; exit 1; }
	@for program in $^; do ln -sfn $${program#$(BUILD)/} $(BUILD)/$${program##*/}; done
	@TURTLE_BUILD=$(BUILD) kernels/cuda/ladder/table $< $(OUT)
$(OUT)/ladder: $(call object,$(LADDER_C)) $(LADDER_CU:%.cu=$(OUT)/%.o)
	@echo "link $@"
	$(Q)$(LINK_C) $(CUDA_LIBS) $(LIBS) -o $@
.PHONY: ladder

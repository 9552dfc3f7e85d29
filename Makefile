# Makefile - builds `turtle`. `make help` lists the targets; host, io, kernels, kernels/emu, tests and bench have a rules.mk.

# --- settings, from the environment or the command line -----------------------------------------
VERSION := 0.13.0
ABI     := 0#        the library's; raised when a program that was linked before would no longer run
SONAME  := libturtle.so.$(ABI)
SO      := libturtle.so.$(VERSION)
BUILD   ?= build#    all that make writes lies below this folder; the sources may be read-only
CONFIG  ?= release#  or debug: ASan, UBSan, leaks, warnings are errors; race: kernels under ThreadSanitizer
CUDA    ?= auto#     auto: nvcc if it works; 0: never; 1: it must work
ARCH    ?= sm_80 sm_90a compute_80#  GPUs that kernels are compiled for; compute_80 is PTX, for every later GPU
RUNNER  ?= $(if $(filter kit race,$(CONFIG)),own,criterion)#  of tests; own: tests/support/runner, where Criterion cannot be had
UNDER   ?= #          how a program runs that CC has built for another processor: qemu-aarch64 -L /usr/aarch64-linux-gnu
DEPS    ?= 1#        0: nothing is installed or downloaded; what is missing is named
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
PYTHONDIR ?= $(PREFIX)/lib/python3/dist-packages#  takes libturtle.py
SHARE   ?= $(PREFIX)/share#  below it lie man/man1, doc/turtle and the completions of bash, zsh and fish
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))#  one word or more, as `ccache gcc`
CXX     := $(if $(filter default,$(origin CXX)),g++,$(CXX))#  compiles the emulator; the program itself is C and CUDA C
Q       := $(if $(V),,@)#  V=1 shows every command
# CPPFLAGS, CFLAGS, CXXFLAGS, NVCCFLAGS, LDFLAGS and LDLIBS belong to the caller; they come behind our own flags.
export DEPS
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)#  every core, unless the command line has a -j of its own
endif

# --- what this machine has: .ci/probe asks once, and again when a compiler or setting is another one -
PROBED   := $(if $(filter race,$(CONFIG)),0,$(CUDA))#  whether nvcc is asked
PACKAGES := $(BUILD)/packages#  where .ci/get unpacks what it may not install
GOALS    := $(filter-out help clean format results bench-compare uninstall dist deb,$(or $(MAKECMDGOALS),all))
TESTING  := $(findstring test,$(GOALS))$(filter sanitize kit-programs packages,$(GOALS))
NEEDS    := cc stb $(if $(TESTING),$(filter criterion,$(RUNNER))) $(if $(TESTING)$(findstring emu,$(GOALS))$(filter profile ladder,$(GOALS)),cxx)
ifneq ($(GOALS),)
include $(BUILD)/probe.mk
endif
$(BUILD)/probe.mk: $(BUILD)/probe.asked $(wildcard .ci/*)
	@.ci/probe "$(CC)" "$(CXX)" $(PROBED) $(PACKAGES) >$@.new && mv $@.new $@
$(BUILD)/probe.asked: FORCE
	@mkdir -p $(@D) && .ci/probe --who "$(CC)" "$(CXX)" $(PROBED) $(call into,$@)
# `command $(call into,FILE)` writes a file only when its text changes: what depends on it is made again then, and only then.
into = >$(1).new && { cmp -s $(1).new $(1) && rm $(1).new || mv $(1).new $(1); }

# Packages that are missing come first. Then make begins again, for one of them may be the compiler.
MISSING := $(if $(AGAIN),,$(filter $(NEEDS),$(LACKS)))
ifneq ($(and $(GOALS),$(MISSING)),)
$(filter-out packages,$(GOALS)): packages
packages:
	@.ci/get $(PACKAGES) "$(CC)" "$(CXX)" $(MISSING)
	@rm -f $(BUILD)/probe.mk
	@$(MAKE) --no-print-directory AGAIN=1 $(GOALS)
else
packages:                       ## brings what demo and test need; DEPS=0 only names it
NVCC := $(USE_NVCC)#  empty: there is no CUDA backend, and FAULT_NVCC says why
FAULT := $(or $(FAULT_CC),$(if $(filter 1,$(CUDA)),$(if $(NVCC),,CUDA=1: $(FAULT_NVCC))))
OUT  := $(BUILD)/$(CONFIG)$(if $(NVCC),,-cpu)#  one folder per configuration: switching never needs a clean

# --- flags ----------------------------------------------------------------------------------------
OPT_release := -O3
OPT_debug   := -O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_race    := -O2 -g
OPT_threads := -O1 -g -fsanitize=thread#  `make test-threads`
OPT_kit     := -O3#  what `make gpu-kit` builds
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer#  `make fuzz`
OWN_RUNNER := $(if $(filter own,$(RUNNER)),-Itests/support/runner)
CC_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -MMD -MP -fPIC -fvisibility=hidden -I. $(OWN_RUNNER) -isystem $(PACKAGES)/usr/include \
            $(if $(CLANG),-Wno-pass-failed) -fno-math-errno -fno-trapping-math $(OPT_$(CONFIG)) $(OPENMP_SIMD)
# gcc's shared sanitizer runtimes write part of a report to stderr, where test runners lose it; static ones write to the log.
LD_debug := $(if $(CLANG),,-static-libasan -static-libubsan)
LD_kit   := '-Wl,--disable-new-dtags,-rpath,$$ORIGIN/../lib'
LD_FLAGS := $(filter -fsanitize%,$(OPT_$(CONFIG))) $(LD_$(CONFIG))
COMPILE_C := $(USE_CC) $(CC_FLAGS) $(CPPFLAGS) $(CFLAGS)
LINK_C     = $(USE_CC) $(LD_FLAGS) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^)
LIBS      := -lm -lpthread $(LDLIBS)

# --- the library, the program ---------------------------------------------------------------------
object  = $(patsubst %.c,$(OUT)/%.o,$(1))
MAIN    := $(wildcard host/cli/*.c)#  the command line: not part of the library
LIBRARY  = $(call object,$(filter-out $(MAIN),$(wildcard host/*/*.c)) $(wildcard io/*/*.c)) $(EMBEDDED) $(KERNELS)
TURTLE  := $(OUT)/turtle
all: $(TURTLE)                 ## build/turtle: the program (a link to the last configuration built)
	@ln -sfn $(TURTLE:$(BUILD)/%=%) $(BUILD)/turtle
	@echo "built $(BUILD)/turtle -> $(TURTLE); $(if $(NVCC),$(NVCC_SAYS),$(FAULT_NVCC))$(if $(WITHOUT_OPENMP),; $(WITHOUT_OPENMP))"
include io/rules.mk kernels/rules.mk kernels/emu/rules.mk host/rules.mk tests/rules.mk bench/rules.mk data/rules.mk
$(TURTLE): $(call object,$(MAIN)) $(LIBRARY) $(BACKEND)
	@echo "link $@"
	$(Q)$(LINK_C) $(BACKEND_LIBS) $(LIBS) -o $@
$(OUT)/%.o: %.c $(OUT)/cc.flags | $(OUT)/version.h
	@mkdir -p $(@D) && echo "cc $<"
	$(Q)$(COMPILE_C) $(FLAGS_$(basename $(notdir $<))) -c $< -o $@
$(OUT)/cc.flags: FORCE#  another compiler or other flags: everything is built again
	@$(if $(FAULT),echo "make: $(FAULT)" >&2; exit 1)
	@mkdir -p $(@D) && echo '$(subst ','\'',$(COMPILE_C) $(LD_FLAGS) $(LDFLAGS) $(LIBS))' $(call into,$@)
FLAGS_info := -I$(OUT)#  for what `--version` says
$(OUT)/version.h: FORCE
	@mkdir -p $(@D) && printf '#define TURTLE_%s "%s"\n' VERSION '$(VERSION)' COMMIT "$$(.ci/commit)" COMPILER \
	  "$$($(USE_CC) --version | head -n 1)" CUDA '$(if $(NVCC),$(NVCC_VERSION) for $(ARCH),none)' $(call into,$@)

demo: packages all                ## pictures -> features -> classes: 10 000 handwritten digits, under a minute
	@data/demo/run $(BUILD)/turtle $(BUILD)/demo
-include $(if $(GOALS),$(shell find $(OUT) -name '*.d' 2>/dev/null))
endif

uninstall:                      ## removes what install put there
	rm -f "$(DESTDIR)$(PREFIX)/bin/turtle" "$(DESTDIR)$(PREFIX)/include/turtle.h" "$(DESTDIR)$(LIBDIR)/pkgconfig/turtle.pc" \
	  "$(DESTDIR)$(LIBDIR)/libturtle.a" "$(DESTDIR)$(LIBDIR)/libturtle.so" "$(DESTDIR)$(LIBDIR)/$(SONAME)" "$(DESTDIR)$(LIBDIR)/$(SO)" \
	  "$(DESTDIR)$(PYTHONDIR)/libturtle.py" \
	  "$(DESTDIR)$(SHARE)/bash-completion/completions/turtle" "$(DESTDIR)$(SHARE)/zsh/site-functions/_turtle" \
	  "$(DESTDIR)$(SHARE)/fish/vendor_completions.d/turtle.fish" "$(DESTDIR)$(SHARE)/man/man1/turtle.1"
	for c in $$(sed -n 's/^const Command command_\([a-z]*\) = .*/\1/p' host/cli/*.c); do \
	  rm -f "$(DESTDIR)$(SHARE)/man/man1/turtle-$$c.1"; done
	for f in $(notdir $(wildcard data/licenses/*)); do rm -f "$(DESTDIR)$(SHARE)/doc/turtle/licenses/$$f"; done
	rm -f "$(DESTDIR)$(SHARE)/doc/turtle/LICENSE"
	-rmdir "$(DESTDIR)$(SHARE)/doc/turtle/licenses" "$(DESTDIR)$(SHARE)/doc/turtle" 2>/dev/null
dist:                           ## build/turtle-VERSION.tar.gz: the sources, which build without git and network
	@.ci/dist $(BUILD)/turtle-$(VERSION).tar.gz $(VERSION)
	@echo "packed $(BUILD)/turtle-$(VERSION).tar.gz"
deb: dist                       ## packages of Debian, in build/deb: turtle, libturtle0, libturtle-dev, python3-libturtle
	@.ci/deb $(BUILD)/deb $(BUILD)/turtle-$(VERSION).tar.gz $(VERSION) $(ABI) $(NODE)
	@echo "built $$(ls $(BUILD)/deb/*.deb | tr '\n' ' ')"
clean:                          ## removes everything that make wrote
	rm -rf $(BUILD)
help:                           ## this list
	@awk -F ' *## ' '/^[a-z-]+:.*## / {sub(/:.*/, "", $$1); printf "  make %-13s %s\n", $$1, $$2}' Makefile */rules.mk */*/rules.mk
	@echo "  CONFIG=release|debug|race  CUDA=auto|0|1  ARCH=\"$(ARCH)\"  BUILD=$(BUILD)  DEPS=1|0  V=1"
FORCE:
.PHONY: all packages demo uninstall dist deb clean help FORCE
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

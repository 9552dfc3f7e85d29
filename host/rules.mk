# host/rules.mk - the library: libturtle.a, libturtle.so and the one header that callers include.

# Names of host/turtle.symbols are all that a program sees of the library: tests/library compares them with both files and the
# header.
LIBTURTLE := $(addprefix $(OUT)/lib/,libturtle.a $(SO) turtle.h)
OBJCOPY   ?= $(shell $(USE_CC) -print-prog-name=objcopy)
lib: $(LIBTURTLE)              ## libturtle.a, libturtle.so and turtle.h, in build/lib
	@ln -sfn $(OUT:$(BUILD)/%=%)/lib $(BUILD)/lib
	@echo "built $(BUILD)/lib -> $(OUT)/lib"
# One relocatable object whose hidden symbols are local: a program may have functions of these names.
$(OUT)/lib/libturtle.a: $(LIBRARY) $(BACKEND)
	@mkdir -p $(@D) && echo "join $@"
	$(Q)$(USE_CC) -r -nostdlib $(filter %.o,$^) -o $(@D)/libturtle.o
	$(Q)$(OBJCOPY) --keep-global-symbols=host/turtle.symbols $(@D)/libturtle.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(@D)/libturtle.o && rm $(@D)/libturtle.o
$(OUT)/lib/$(SO): $(LIBRARY) $(BACKEND) $(OUT)/turtle.map
	@mkdir -p $(@D) && echo "link $@"
	$(Q)$(LINK_C) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=$(OUT)/turtle.map -Wl,-z,defs $(BACKEND_LIBS) $(LIBS) -o $@
	$(Q)ln -sfn $(SO) $(@D)/$(SONAME) && ln -sfn $(SONAME) $(@D)/libturtle.so
# Structures of 0.x grow with its versions: a program that was linked with another one is refused by the loader.
NODE := TURTLE_$(if $(filter 0,$(ABI)),$(basename $(VERSION)),$(ABI))
$(OUT)/turtle.map: host/turtle.symbols $(OUT)/cc.flags $(OUT)/version.h
	@{ echo '$(NODE) {'; echo 'global:'; sed 's/$$/;/' $<; echo 'local: *;'; echo '};'; } >$@
# The header of the tree, with its version and with the header that it includes in its place.
$(OUT)/lib/turtle.h: host/turtle.h io/turtle_status.h $(OUT)/version.h
	@mkdir -p $(@D) && sed -e 's/^#define TURTLE_H$$/&\n#define TURTLE_VERSION "$(VERSION)" \/* turtle_version() begins with it *\//' -e '/^#include "io\/turtle_status.h"/{r io/turtle_status.h' -e 'd}' host/turtle.h >$@

# A program that takes libturtle.a needs what the library is linked with, as Libs.private says.
# Man pages and completions are what the program's own --help says.
PAGES_OF ?= $(TURTLE)#  a program that runs here, where this one is for another machine
$(OUT)/pages/made: $(TURTLE) .ci/pages
	@echo "pages $(@D)"
	$(Q).ci/pages $(PAGES_OF) $(@D) $(VERSION) && touch $@
install: $(TURTLE) $(LIBTURTLE) $(OUT)/pages/made    ## PREFIX=/usr/local DESTDIR= LIBDIR=PREFIX/lib: program, library, libturtle.py, man pages, completions, licences
	install -D -m 755 $(TURTLE) "$(DESTDIR)$(PREFIX)/bin/turtle"
	install -D -m 644 $(OUT)/lib/turtle.h "$(DESTDIR)$(PREFIX)/include/turtle.h"
	install -D -m 644 $(OUT)/lib/libturtle.a "$(DESTDIR)$(LIBDIR)/libturtle.a"
	install -D -m 755 $(OUT)/lib/$(SO) "$(DESTDIR)$(LIBDIR)/$(SO)"
	ln -sfn $(SO) "$(DESTDIR)$(LIBDIR)/$(SONAME)"
	ln -sfn $(SONAME) "$(DESTDIR)$(LIBDIR)/libturtle.so"
	mkdir -p "$(DESTDIR)$(LIBDIR)/pkgconfig"
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' 'Name: turtle' \
	  'Description: classes of samples from features of frozen encoders, without labels' 'Version: $(VERSION)' \
	  'Libs: -L"$${libdir}" -lturtle' 'Libs.private: $(strip $(BACKEND_LIBS) $(LIBS))' 'Cflags: -I"$${includedir}"' \
	  >"$(DESTDIR)$(LIBDIR)/pkgconfig/turtle.pc"
	sed 's|^_LIBDIR = None.*|_LIBDIR = "$(LIBDIR)"|' host/libturtle.py | install -D -m 644 /dev/stdin "$(DESTDIR)$(PYTHONDIR)/libturtle.py"
	mkdir -p "$(DESTDIR)$(SHARE)/man/man1" && install -m 644 $(OUT)/pages/man1/*.1 "$(DESTDIR)$(SHARE)/man/man1"
	mkdir -p "$(DESTDIR)$(SHARE)/doc/turtle/licenses" && install -m 644 LICENSE "$(DESTDIR)$(SHARE)/doc/turtle"
	install -m 644 data/licenses/* "$(DESTDIR)$(SHARE)/doc/turtle/licenses"
	install -D -m 644 $(OUT)/pages/bash/turtle "$(DESTDIR)$(SHARE)/bash-completion/completions/turtle"
	install -D -m 644 $(OUT)/pages/zsh/_turtle "$(DESTDIR)$(SHARE)/zsh/site-functions/_turtle"
	install -D -m 644 $(OUT)/pages/fish/turtle.fish "$(DESTDIR)$(SHARE)/fish/vendor_completions.d/turtle.fish"
# The wheel finds the library beside the module; it bears the soname there, for Python would take libturtle.so for the module.
wheel: $(LIBTURTLE)            ## build/libturtle-VERSION-....whl: libturtle.py and the library, for pip install
	@.ci/wheel $(OUT)/lib/$(SO) LICENSE $(BUILD)
.PHONY: lib install wheel

# io/rules.mk - LICENSE, files of data/ and of the report's page that are compiled into the program, recorded ones that are unpacked for tests, and stb_image.

# Each becomes a C array, `const Embedded embedded_<name>` of io/files/embedded.h.
EMBEDDED := $(patsubst %,$(OUT)/embedded/%.o,vocab unicode entities prompts paper manifests phis imagenet_val page_css page_js license license_index license_texts)
$(OUT)/embedded/vocab.o:    data/vocab/bpe_merges.txt.gz
$(OUT)/embedded/unicode.o:  data/vocab/unicode.txt
$(OUT)/embedded/entities.o: data/vocab/entities.txt
$(OUT)/embedded/prompts.o:  data/prompts/prompts.txt
$(OUT)/embedded/paper.o:    data/manifests/paper.tsv
$(OUT)/embedded/manifests.o: $(sort $(wildcard data/manifests/*.txt))
$(OUT)/embedded/imagenet_val.o: data/manifests/imagenet_val.gz
$(OUT)/embedded/license.o:  LICENSE
$(OUT)/embedded/license_index.o: data/licenses/index.tsv
$(OUT)/embedded/license_texts.o: $(sort $(wildcard data/licenses/*.txt))
$(OUT)/embedded/page_css.o: host/report/page.css
$(OUT)/embedded/page_js.o:  host/report/page.js
$(filter-out %/phis.o,$(EMBEDDED)): $(OUT)/embedded/%.o: io/files/embedded.h $(OUT)/cc.flags
	@mkdir -p $(@D) && echo "embed $(filter LICENSE data/% host/%,$^)"
	$(Q){ echo '#include "io/files/embedded.h"'; echo 'static const uint8_t bytes[] ='; \
	  od -An -v -tx1 $(filter LICENSE data/% host/%,$^) | sed 's/ /\\x/g; s/.*/"&"/'; \
	  echo '; const Embedded embedded_$* = {bytes, sizeof bytes - 1};'; } | $(COMPILE_C) -x c -c - -o $@ -MF /dev/null
# The table of published encoders becomes an array of C that nothing has to read again.
$(OUT)/embedded/phis.o: host/inputs/published.awk host/inputs/published.h host/turtle.h data/manifests/phis.tsv $(OUT)/cc.flags
	@mkdir -p $(@D) && echo "embed data/manifests/phis.tsv"
	$(Q)awk -f host/inputs/published.awk data/manifests/phis.tsv | $(COMPILE_C) -x c -c - -o $@ -MF /dev/null

FLAGS_stb       := -w#  stb_image is included, never linked; its warnings are not ours
FLAGS_stb_write := -w
FLAGS_png_write := -w
# Recorded files lie deflated in the tree; unpacked once for all configurations, they lie in BUILD/data and BUILD/goldens.
$(BUILD)/recorded: data/unpack data/recorded.sha256 $(BUILD)/planes
	@data/unpack $(BUILD)/planes $(BUILD) && touch $@
$(BUILD)/planes: data/planes.c
	$(Q)$(or $(HERE_CC),$(USE_CC)) -std=c11 -O2 -Wall -Wextra $< -o $@.$(notdir $(OUT)) && mv $@.$(notdir $(OUT)) $@

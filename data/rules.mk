# data/rules.mk - the toy: samples of a plane, two views, and pictures of the training (data/toy/README.md).
$(OUT)/toy: $(OUT)/data/toy/toy.o $(OUT)/data/toy/draw.o $(LIBRARY) $(BACKEND)
	@echo "link $@"
	$(Q)$(LINK_C) $(BACKEND_LIBS) $(LIBS) -o $@
toy: $(OUT)/toy                 ## trains on samples of a plane and draws its labels into build/toy: TOY="--gamma 0 --classes 4"
	@mkdir -p $(BUILD)/toy && $(OUT)/toy --out $(BUILD)/toy $(TOY)
.PHONY: toy

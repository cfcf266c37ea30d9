# The module `harken_core`, compiled into a MicroPython image of one's own:
#   make -C ports/PORT USER_C_MODULES=.../firmware/native
HARKEN_CORE := $(USERMOD_DIR)

SRC_USERMOD_C += $(HARKEN_CORE)/module.c
SRC_USERMOD_LIB_C += $(filter-out %/module.c,$(sort $(wildcard $(HARKEN_CORE)/*.c)))

# Ports that build for size would take half of its speed.
$(BUILD)/core/%.o: CFLAGS += -O2 -ffp-contract=off

# The module `harken_opus`, compiled into a MicroPython image of one's own:
#   make -C ports/PORT USER_C_MODULES=.../firmware/native
# HARKEN_OPUS_SOURCE is the source of libopus 1.3.1, by default where `native_build` keeps it;
# with HARKEN_OPUS=0 the module stays out.
HARKEN_OPUS ?= 1
ifeq ($(HARKEN_OPUS),1)

HARKEN_OPUS_SOURCE ?= $(abspath $(USERMOD_DIR)/../../../.cache/native/sources/opus-1.3.1)
ifeq ($(wildcard $(HARKEN_OPUS_SOURCE)/celt_sources.mk),)
$(error no libopus in $(HARKEN_OPUS_SOURCE): `python firmware/native/build.py --print opus-source` puts it there; or set HARKEN_OPUS_SOURCE, or HARKEN_OPUS=0)
endif
include $(HARKEN_OPUS_SOURCE)/silk_sources.mk
include $(HARKEN_OPUS_SOURCE)/celt_sources.mk

HARKEN_OPUS_LIBRARY := $(addprefix $(HARKEN_OPUS_SOURCE)/,\
	$(addprefix src/,opus.c opus_decoder.c opus_encoder.c repacketizer.c)\
	$(SILK_SOURCES) $(SILK_SOURCES_FIXED) $(CELT_SOURCES))

SRC_USERMOD_C += $(USERMOD_DIR)/module.c
SRC_USERMOD_LIB_C += $(HARKEN_OPUS_LIBRARY)
CFLAGS_USERMOD += -I$(HARKEN_OPUS_SOURCE)/include

# As in native_build/modules.py; the options hold for the library alone.
$(addprefix $(BUILD)/,$(HARKEN_OPUS_LIBRARY:.c=.o)): CFLAGS += -w -O2 \
	$(addprefix -I$(HARKEN_OPUS_SOURCE)/,celt silk silk/fixed) \
	-DOPUS_BUILD -DFIXED_POINT -DDISABLE_FLOAT_API -DVAR_ARRAYS -DENABLE_HARDENING \
	-DPACKAGE_VERSION='"1.3.1"' -DOVERRIDE_celt_fatal \
	"-Dcelt_fatal(text,file,line)=harken_opus_fault()"

endif

# The module `harken_opus`. HARKEN_OPUS_SOURCE is the source of libopus 1.3.1, by default where
# `native_build` keeps it.
if(NOT DEFINED HARKEN_OPUS_SOURCE)
    get_filename_component(HARKEN_OPUS_SOURCE
        ${CMAKE_CURRENT_LIST_DIR}/../../../.cache/native/sources/opus-1.3.1 ABSOLUTE)
endif()
if(NOT EXISTS ${HARKEN_OPUS_SOURCE}/celt_sources.mk)
    message(FATAL_ERROR "no libopus in ${HARKEN_OPUS_SOURCE}: `python firmware/native/build.py "
        "--print opus-source` puts it there; or set HARKEN_OPUS_SOURCE")
endif()

# Which files there are is what libopus' own lists say.
function(harken_opus_list file variable result)
    file(READ ${HARKEN_OPUS_SOURCE}/${file} text)
    string(REPLACE "\\\n" " " text "${text}")
    string(REGEX MATCH "(^|\n)${variable} *= *([^\n]*)" found "${text}")
    separate_arguments(names UNIX_COMMAND "${CMAKE_MATCH_2}")
    list(TRANSFORM names PREPEND ${HARKEN_OPUS_SOURCE}/)
    set(${result} ${${result}} ${names} PARENT_SCOPE)
endfunction()

set(harken_opus_sources opus.c opus_decoder.c opus_encoder.c repacketizer.c)
list(TRANSFORM harken_opus_sources PREPEND ${HARKEN_OPUS_SOURCE}/src/)
harken_opus_list(silk_sources.mk SILK_SOURCES harken_opus_sources)
harken_opus_list(silk_sources.mk SILK_SOURCES_FIXED harken_opus_sources)
harken_opus_list(celt_sources.mk CELT_SOURCES harken_opus_sources)

# As in native_build/modules.py.
add_library(harken_opus_library STATIC ${harken_opus_sources})
target_include_directories(harken_opus_library
    PUBLIC ${HARKEN_OPUS_SOURCE}/include
    PRIVATE ${HARKEN_OPUS_SOURCE}/celt ${HARKEN_OPUS_SOURCE}/silk ${HARKEN_OPUS_SOURCE}/silk/fixed)
target_compile_definitions(harken_opus_library PRIVATE
    OPUS_BUILD FIXED_POINT DISABLE_FLOAT_API VAR_ARRAYS ENABLE_HARDENING
    PACKAGE_VERSION="1.3.1" OVERRIDE_celt_fatal)
target_compile_options(harken_opus_library PRIVATE
    -w -O2 "-Dcelt_fatal(text,file,line)=harken_opus_fault()")

add_library(usermod_harken_opus INTERFACE)
target_sources(usermod_harken_opus INTERFACE ${CMAKE_CURRENT_LIST_DIR}/module.c)
target_include_directories(usermod_harken_opus INTERFACE ${HARKEN_OPUS_SOURCE}/include)
target_link_libraries(usermod_harken_opus INTERFACE harken_opus_library)
target_link_libraries(usermod INTERFACE usermod_harken_opus)

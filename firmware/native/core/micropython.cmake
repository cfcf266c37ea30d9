# The module `harken_core`. What knows nothing of MicroPython is a library of its own: the port looks
# for names of its own in the rest alone.
file(GLOB harken_core_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
list(REMOVE_ITEM harken_core_sources ${CMAKE_CURRENT_LIST_DIR}/module.c)

add_library(harken_core_library STATIC ${harken_core_sources})
# Ports that build for size would take half of its speed.
target_compile_options(harken_core_library PRIVATE -O2 -ffp-contract=off)

add_library(usermod_harken_core INTERFACE)
target_sources(usermod_harken_core INTERFACE ${CMAKE_CURRENT_LIST_DIR}/module.c)
target_link_libraries(usermod_harken_core INTERFACE harken_core_library)
target_link_libraries(usermod INTERFACE usermod_harken_core)

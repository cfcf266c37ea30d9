# Both modules, compiled into a MicroPython image of one's own, for the ports that CMake builds:
#   -DUSER_C_MODULES=.../firmware/native/micropython.cmake
# or one of the two files that are included here.
include(${CMAKE_CURRENT_LIST_DIR}/core/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/opus/micropython.cmake)

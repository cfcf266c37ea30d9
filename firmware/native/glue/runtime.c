// The few functions of the C library that compilers call on their own, by way of MicroPython's.

#include "py/dynruntime.h"

void *memcpy(void *to, const void *from, size_t n) {
    return mp_fun_table.memmove_(to, from, n);
}

void *memmove(void *to, const void *from, size_t n) {
    return mp_fun_table.memmove_(to, from, n);
}

void *memset(void *to, int value, size_t n) {
    return mp_fun_table.memset_(to, value, n);
}

// Without the attribute the compiler would recognise the loop and call this very function.
__attribute__((optimize("no-tree-loop-distribute-patterns"))) size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n] != '\0') {
        ++n;
    }
    return n;
}

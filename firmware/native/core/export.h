// What the shared library shows to CPython.
#ifndef HARKEN_EXPORT_H
#define HARKEN_EXPORT_H

#define HARKEN_EXPORT __attribute__((visibility("default")))

#endif

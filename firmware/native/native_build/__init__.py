"""Builds the native modules: sources, compilers, modules, and the record of what was built."""

"""The machine that kernels run on: caches, threads, compiling, memory."""

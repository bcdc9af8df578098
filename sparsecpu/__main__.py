"""``python -m sparsecpu`` is the command line."""

from sparsecpu.cli import main

main()

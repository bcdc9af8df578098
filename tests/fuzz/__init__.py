"""Damaged files, millions of them: what every reader does with input that nobody meant.

``python -m tests.fuzz --minutes 10`` attacks every reader; ``--help`` lists the rest. A case is a
few files, a function of the target's name, the seed and the case's number alone. A reader either
returns something that keeps its own promises, or raises a ``SparseCPUError`` of one line; anything
else (another exception, a crash, a hang, memory beyond the data) is a find.

A new target is one file in ``targets/``: a subclass of ``Target`` (``target.py``) with ``valid``,
``case`` and ``read``, and an instance of it named ``TARGET``. ``alter_bytes``, ``alter_archive``,
``alter_json`` and ``alter_table`` change bytes, archives of arrays, JSON and tables as those who
know the format would.
"""

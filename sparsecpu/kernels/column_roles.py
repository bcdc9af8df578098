"""What a column of a table is read as."""

#: Not at all, as a number, as text; or there must be nothing in it; or it has targets that are
#: numbers.
SKIPPED, NUMBER, TEXT, EMPTY, GOAL = range(5)

"""Tables of text, such as CSV files."""

from sparsecpu.datasets.tables.cells import is_number as is_number
from sparsecpu.datasets.tables.reading import read_csv as read_csv
from sparsecpu.datasets.tables.reading import read_features as read_features

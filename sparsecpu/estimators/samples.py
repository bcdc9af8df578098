"""What ``X`` of an estimator may be, before scikit-learn looks at it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils.validation import validate_data

from sparsecpu.errors import DataError
from sparsecpu.sparse.matrices import canonical_csr

#: What are no samples, by the kind of its type.
_NO_NUMBERS = {
    "c": "complex numbers (Complex data not supported)",
    "M": "dates",
    "m": "spans of time",
    "V": "records",
}


def read_samples(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """Return samples, and targets if they are given, as scikit-learn checks them for an estimator.

    Sparse ones are checked before SciPy reads them, and are the user's no more. ``DataError`` is
    raised for what NumPy would take for numbers though it is none.
    """
    if hasattr(X, "tocsr"):
        X = canonical_csr(X, "X")
    else:
        for dtype in (getattr(X, "dtype", None), *getattr(X, "dtypes", ())):
            if words := _NO_NUMBERS.get(getattr(dtype, "kind", "")):
                raise DataError(f"X holds {words}; expected numbers")
    sparse = ["csr"] if get_tags(estimator).input_tags.sparse else False
    try:
        return validate_data(
            estimator, X, *y, accept_sparse=sparse, dtype=[np.float64, np.float32], **options
        )
    except OverflowError as error:
        raise DataError("X holds an integer that no float can hold; expected numbers") from error
    except (TypeError, ValueError) as error:
        if "complex" in str(error).lower():  # perhaps with all of it
            raise DataError(f"X holds {_NO_NUMBERS['c']}; expected numbers") from None
        raise

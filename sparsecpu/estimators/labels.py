"""Labels as targets: learnt in the first call, compared in later ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sparsecpu.errors import DataError, ParameterError, brief
from sparsecpu.estimators.targets import check_labels, read_targets, tell_one_hot


class LearnsLabels:
    """What a classifier knows of labels: one for each sample, or a binary matrix of several."""

    classes_: np.ndarray
    _multilabel: bool
    #: A ``LabelEncoder``, None of a matrix.
    _label_encoder: Any

    def _learn_classes(self, classes, fresh: bool) -> None:
        """Take up the classes of the first part; refuse others later."""
        if classes is None:
            if fresh:
                expected = "all labels, at the first call of partial_fit"
                raise ParameterError("classes", None, expected)
            return
        try:
            labels = np.unique(read_targets(classes))
        except (DataError, TypeError):
            labels = np.empty(0)
        if not labels.size or np.ndim(classes) != 1:
            raise ParameterError("classes", classes, "a vector of all labels that y may have")
        if fresh:
            self._label_encoder = LabelEncoder().fit(labels)
            self.classes_ = self._label_encoder.classes_
        elif not np.array_equal(labels, self.classes_):
            raise ParameterError("classes", classes, f"{brief(self.classes_)}, as before")

    def _encode(self, y, *, reset: bool, part: bool):
        multilabel = check_labels(y)
        if reset:
            self._multilabel = multilabel
        elif multilabel != self._multilabel:
            was = "a matrix of labels" if self._multilabel else "one label per sample"
            raise DataError(f"y has shape {y.shape}; expected {was}, as before")
        if multilabel:
            return self._encode_matrix(y, learns=reset and not part)
        if y.dtype.kind != "O":  # of which only text is left
            check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        if reset and not part:
            self._label_encoder = LabelEncoder().fit(y)
            self.classes_ = self._label_encoder.classes_
            return self._label_encoder.transform(y)
        given = np.unique(y)
        unknown = given[~np.isin(given, self.classes_)]
        if part and len(unknown):
            raise DataError(
                f"y has new labels: {brief(unknown)}; the classes are {brief(self.classes_)}"
            )
        if not part and not np.array_equal(given, self.classes_):
            raise DataError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {_few(self.classes_)}, `y` has {_few(given)}"
            )
        return self._label_encoder.transform(y)

    def _encode_matrix(self, y: np.ndarray, learns: bool) -> np.ndarray:
        """Return a matrix of labels as the loss takes it; note its labels, or compare them."""
        if learns:
            self._label_encoder = None
            self.classes_ = np.arange(y.shape[1])
            tell_one_hot(y)
        elif y.shape[1] != len(self.classes_):
            raise DataError(f"y has {y.shape[1]} columns; expected {len(self.classes_)} as before")
        return np.asarray(y, dtype=np.float64)


def _few(labels: np.ndarray) -> str:
    """Return labels as scikit-learn's own message has them, if there are not too many."""
    return str(labels) if len(labels) <= 8 else brief(labels)

"""What notebooks show of an estimator: scikit-learn's box, and below it the fitted network."""

from __future__ import annotations

from sklearn.utils import estimator_html_repr


class ShowsNetwork:
    """Of an estimator: its page in notebooks, on its own; inside of others it is theirs.

    scikit-learn calls ``_html_repr``, unless its ``display`` option asks for text; versions that do
    not show the box alone.
    """

    def _html_repr(self) -> str:
        box = estimator_html_repr(self)
        network = vars(self).get("network_")
        return box if network is None else f"<div>{box}{network._repr_html_()}</div>"

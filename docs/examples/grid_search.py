"""A scikit-learn pipeline: scale the features, train a sparse network, search density and rate."""

import warnings

from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecpu import SparseMLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # 30 epochs are meant to be all

x, y = load_breast_cancer(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)

pipeline = make_pipeline(
    StandardScaler(),
    SparseMLPClassifier((100, 100), max_iter=30, batch_size=32, random_state=0, n_jobs=1),
)
search = GridSearchCV(
    pipeline,
    {
        "sparsemlpclassifier__density": [0.02, 0.1, 1.0],
        "sparsemlpclassifier__learning_rate_init": [0.01, 0.03],
        "sparsemlpclassifier__topology": ["sparse-momentum", "static"],
    },
    cv=4,
)
search.fit(x, y)

found = search.cv_results_
print(f"{'density':>8}{'rate':>8}{'topology':>18}{'accuracy %':>18}")
for i in found["rank_test_score"].argsort()[:6]:
    chosen = {name.rpartition("__")[2]: value for name, value in found["params"][i].items()}
    score = f"{100 * found['mean_test_score'][i]:.1f} +- {100 * found['std_test_score'][i]:.1f}"
    print(
        f"{chosen['density']:>8}{chosen['learning_rate_init']:>8}{chosen['topology']:>18}{score:>18}"
    )
best = search.best_estimator_[-1]
accuracy = 100 * search.score(x_test, y_test)
print(f"\nbest, refitted: {accuracy:.1f} % of the test samples, density {best.density_:.2f}")

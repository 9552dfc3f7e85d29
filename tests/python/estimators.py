"""estimators.py - scikit-learn's own checks of estimators, and results beside scikit-learn's."""
import itertools
import logging
import pickle
import warnings

import numpy as np
import sklearn.cluster
import sklearn.linear_model
from sklearn.base import clone, is_classifier, is_clusterer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import check_estimator

from libturtle import KMeans, LogisticRegression, Turtle, cluster_accuracy

from checks import check, groups, refused

# The checks ask for one cluster. TURTLE and our k-means want two: one says nothing of the samples.
ONE = {name: "it asks for n_clusters=1; two are the least" for name in
       ["check_dont_overwrite_parameters", "check_methods_subset_invariance", "check_fit2d_1sample", "check_fit2d_1feature",
        "check_fit2d_predict1d"]}


def scikit_learn_checks():
    for estimator, excepted in [(Turtle(T=100, inner_lr=0.01, outer_lr=0.01), ONE), (KMeans(), ONE), (LogisticRegression(), {})]:
        name = type(estimator).__name__
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks pass float64, and expect a base class of scikit-learn's
            found = check_estimator(estimator, expected_failed_checks=excepted, on_skip=None, on_fail=None)
        for one in found:
            wanted = "xfail" if one["check_name"] in excepted else "passed"
            if one["status"] != "skipped":  # what asks for pandas or SCIPY_ARRAY_API
                check("%s: %s" % (name, one["check_name"]), one["status"] == wanted, repr(one["exception"])[:300])
        check("%s: scikit-learn has many checks" % name, len(found) > 35, len(found))


def by_hand(y, clusters):
    """Returns the cluster accuracy from its definition: the best of all ways to match."""
    C = 1 + max(y.max(), clusters.max())
    return max(np.mean(np.array(way)[clusters] == y) for way in itertools.permutations(range(C)))


def run():
    scikit_learn_checks()
    Z, y = groups()
    Z2, _ = groups(d=5, dtype=np.float16)
    turtle = Turtle(3, T=300, inner_lr=0.01, outer_lr=0.01)
    labels = turtle.fit_predict([Z, Z2])
    soft = turtle.predict_proba((Z, Z2))
    check("labels_ are int64, and are what fit_predict returns", labels.dtype == np.int64 and labels is turtle.labels_)
    check("predict gives labels_ again", np.array_equal(turtle.predict([Z, Z2]), labels))
    check("predict is the largest soft label", np.array_equal(soft.argmax(1), labels))
    check("soft labels are float32, and sum to 1", soft.dtype == np.float32 and np.abs(soft.sum(1) - 1).max() < 1e-6)
    check("score is the cluster accuracy", turtle.score([Z, Z2], y) == cluster_accuracy(y, labels) > 0.7, turtle.score([Z, Z2], y))
    check("coef_ and intercept_ are lists for two spaces",
          [w.shape for w in turtle.coef_] == [(3, 8), (3, 5)] and [b.shape for b in turtle.intercept_] == [(3,), (3,)])
    again = pickle.loads(pickle.dumps(turtle))
    check("a pickled estimator predicts the same bits", np.array_equal(again.predict_proba([Z, Z2]), soft))
    check("clone, is_clusterer and is_classifier know the estimators",
          clone(turtle).T == 300 and is_clusterer(turtle) and is_clusterer(KMeans()) and is_classifier(LogisticRegression()))
    check("set_params returns the estimator", turtle.set_params(T=5) is turtle and turtle.get_params()["T"] == 5)
    refused("set_params refuses unknown names", ValueError, "no parameter 'TT'", turtle.set_params, TT=1)
    pipeline = make_pipeline(Normalizer(), KMeans(3)).fit(Z)
    check("a pipeline fits and predicts", cluster_accuracy(y, pipeline.predict(Z)) == 1)

    ours, theirs = KMeans(3).fit(Z), sklearn.cluster.KMeans(3, n_init=10, random_state=0).fit(Z)
    check("k-means has scikit-learn's inertia", abs(ours.inertia_ / theirs.inertia_ - 1) < 1e-5, ours.inertia_, theirs.inertia_)
    means = np.stack([Z[ours.labels_ == c].mean(0) for c in range(3)])
    check("cluster_centers_ are means of the clusters", np.abs(ours.cluster_centers_ - means).max() < 1e-5)
    check("k-means predicts its own labels", np.array_equal(ours.predict(Z), ours.labels_))
    both = KMeans(3, spherical=True).fit([Z, Z2])
    check("k-means of two spaces predicts its own labels", np.array_equal(both.predict([Z, Z2]), both.labels_))

    names = np.array(["ant", "bee", "cow"])[y]
    ours, theirs = LogisticRegression(C=0.5).fit(Z, names), sklearn.linear_model.LogisticRegression(C=0.5, tol=1e-10, max_iter=9999)
    off = np.abs(ours.predict_proba(Z) - theirs.fit(Z.astype(np.float64), names).predict_proba(Z)).max()
    check("logistic regression has scikit-learn's probabilities", off < 1e-5, off)
    check("and its classes", list(ours.classes_) == ["ant", "bee", "cow"] and ours.score(Z, names) == 1)

    random = np.random.default_rng(1)
    for C in (2, 3, 5):
        a, b = random.integers(0, C, 60), random.integers(0, C, 60)
        check("cluster_accuracy of %d classes is the best of all ways to match" % C, cluster_accuracy(a, b) == by_hand(a, b))
    check("cluster_accuracy takes names", cluster_accuracy(names, y) == 1)
    check("more clusters than classes cost accuracy", cluster_accuracy([0, 0, 0, 1], [5, 5, 7, 9]) == 0.75)
    check("what the library remarks goes to the logger", heard(lambda: Turtle(3, T=1, batch_size=10**6).fit(Z)))


def heard(function):
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("libturtle")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    function()
    logger.removeHandler(handler)
    return lines

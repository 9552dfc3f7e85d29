"""hostile.py - arrays and values that cannot be served are refused by one clear line, or copied with one warning."""
import warnings

import numpy as np

import libturtle
from libturtle import CopyWarning, KMeans, LogisticRegression, Turtle, cluster_accuracy, encode

from checks import check, groups, raised, refused


def warned(function, *args):
    """Returns the warnings of a call, and its result."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = function(*args)
    return found, result


def run():
    Z, y = groups()
    short = dict(T=5, inner_lr=0.01, outer_lr=0.01)

    def fit(z, C=3, **values):
        return Turtle(C, **dict(short, **values)).fit(z)

    def put(value, dtype=np.float32):
        z = Z.astype(dtype)
        z[7, 3] = value
        return z

    refused("NaN", ValueError, "row 7, column 3 is NaN", fit, put(np.nan))
    refused("an infinite number", ValueError, "row 7, column 3 is infinite", fit, put(-np.inf, np.float16))
    warnings.simplefilter("ignore", CopyWarning)
    refused("NaN in float64", ValueError, "NaN", fit, put(np.nan, np.float64))
    refused("float64 beyond float32", ValueError, "beyond float32", fit, put(1e300, np.float64))
    for name in ("prior", "rng", "device", "precision"):
        for value in (None, 5, b"auto", "a\0b"):
            refused("%s=%r" % (name, value), ValueError, "expected a text", fit, Z, **{name: value})
    refused("an unknown precision", ValueError, "int8", fit, Z, precision="int8")
    refused("steps beyond all memory", ValueError, "at most", fit, Z, M=2**63 - 1)
    refused("k-means without a text", ValueError, "expected a text", KMeans(3, init=None).fit, Z)
    narrow = LogisticRegression().fit(Z, y)
    narrow.coef_ = narrow.coef_[:, :2]
    refused("layers of another width", ValueError, "coef_ of shape", narrow.predict, Z)
    refused("one axis", ValueError, "Reshape your data", fit, Z[0])
    refused("three axes", ValueError, "3 axes", fit, Z[None])
    refused("no samples", ValueError, "0 sample(s)", fit, Z[:0])
    refused("no features", ValueError, "0 feature(s)", fit, Z[:, :0])
    refused("no spaces", ValueError, "axes", fit, [])
    refused("spaces of different lengths", ValueError, "Z2 has 299 rows, Z1 has 300", fit, [Z, Z[1:]])
    refused("too many spaces", ValueError, "matrices Z", fit, [Z] * 99)
    refused("more clusters than samples", ValueError, "n_samples=300 is less than n_clusters=301", fit, Z, 301)
    refused("complex numbers", ValueError, "Complex", fit, Z.astype(complex))
    refused("texts", ValueError, "real numbers", fit, Z.astype(str))
    refused("objects", TypeError, "real number", fit, np.array([[{}, 1], [2, 3]], object))
    refused("None", ValueError, "0 axes", fit, None)
    for name, value in [("n_clusters", 1), ("n_clusters", 2.0), ("n_clusters", True), ("n_clusters", 2**70), ("T", 0), ("T", None),
                        ("M", -1), ("gamma", np.nan), ("gamma", "1"), ("inner_lr", None), ("batch_size", 0.5), ("threads", 2**31),
                        ("random_state", -1)]:
        refused("%s=%r" % (name, value), ValueError, name, Turtle(3, **short).set_params(**{name: value}).fit, Z)
    refused("an unknown rng", ValueError, "numpy", fit, Z, rng="numpy")
    refused("an unknown prior", (ValueError, OSError), "prior", fit, Z, prior="nothing")
    refused("a device that is none", (ValueError, RuntimeError), "tpu", fit, Z, device="tpu")
    for kind in (Turtle, KMeans, LogisticRegression):
        refused("%s before fit" % kind.__name__, ValueError, "not fitted yet", kind().predict, Z)
    fitted = fit([Z, Z])
    refused("another number of spaces", ValueError, "1 spaces, but Turtle was fitted to 2", fitted.predict, Z)
    refused("another number of features", ValueError, "X has 7 features", fitted.predict, [Z, Z[:, :7].copy()])
    refused("labels of another length", ValueError, "one label for each of the 300", LogisticRegression().fit, Z, y[1:])
    refused("two spaces for a regression", ValueError, "2 spaces", LogisticRegression().fit, [Z, Z], y)
    refused("lengths of scores", ValueError, "one label for each", cluster_accuracy, y, y[1:])
    refused("pictures of floats", ValueError, "uint8", encode, np.zeros((1, 8, 8, 3)), "w.pt")
    refused("pictures without colours", ValueError, "uint8", encode, np.zeros((1, 8, 8), np.uint8), "w.pt")
    refused("no pictures", ValueError, "none", encode, [], "w.pt")
    refused("weights that are not there", OSError, "nowhere.pt", encode, np.zeros((1, 8, 8, 3), np.uint8), "nowhere.pt")
    refused("a picture that is not there", OSError, "nowhere.png", encode, ["nowhere.png"], "w.pt")
    check("a failure leaves no labels", not hasattr(raised_fit(put(np.nan)), "labels_"))

    expected = fit(Z).labels_
    Z.flags.writeable = False
    found, kept = warned(fit, Z)
    check("a read-only array is read where it lies", not found and np.array_equal(kept.labels_, expected), found)
    for what, z, count in [("float64", Z.astype(np.float64), 1), ("Fortran order", np.asfortranarray(Z), 1), ("a view with gaps",
                           np.repeat(Z, 2, 0)[::2], 1), ("swapped bytes", Z.astype(Z.dtype.newbyteorder()), 1), ("a list", Z.tolist(), 1)]:
        found, kept = warned(fit, z)
        check("%s gives the same bits, and one CopyWarning" % what, np.array_equal(kept.labels_, expected)
              and [w.category for w in found] == [CopyWarning] * count, [str(w.message) for w in found])
        check("the warning about %s names the caller's line" % what, found[0].filename == __file__, found[0].filename)
    check("the module does not import scikit-learn", "import sklearn" not in open(libturtle.__file__).read().replace("from sklearn", ""))


def raised_fit(z):
    estimator = Turtle(3, T=5)
    raised(ValueError, estimator.fit, z)
    return estimator

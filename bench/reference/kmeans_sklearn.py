"""kmeans_sklearn.py - k-means with scikit-learn: what ours is timed beside.

    python kmeans_sklearn.py KIND X.npy CENTRES.npy ITERATIONS THREADS REPEATS     one row, as bench-kmeans prints
"""
import sys

import rows


def checked(kind, np, X, centres, labels):
    """The inertia, in double: a float32 sum is off by more than programs differ. Of the mixture: without groups samples
    lie on borders, and programs that round differently part ways."""
    if kind != "mixture":
        return {}
    parts = (X[i:i + 5000].astype(np.float64) - centres[labels[i:i + 5000]] for i in range(0, len(X), 5000))
    return {"check": float("%.9g" % sum(float((part ** 2).sum()) for part in parts))}


def main():
    kind, (iterations, threads, repeats) = sys.argv[1], map(int, sys.argv[4:7])
    np, sklearn, limits = rows.need("numpy", "sklearn", "threadpoolctl")
    KMeans = rows.need("sklearn.cluster").KMeans
    X, start = np.load(sys.argv[2]), np.load(sys.argv[3])
    found = []

    def work():
        found[:] = [KMeans(len(start), init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd").fit(X)]

    with limits.threadpool_limits(threads):
        seconds = rows.measure(work, repeats)
    if found[0].n_iter_ != iterations:
        sys.exit("kmeans_sklearn.py: it ended after %d iterations" % found[0].n_iter_)
    rows.show("k-means %s %d x %d C %d" % ((kind,) + X.shape + (len(start),)), "scikit-learn " + sklearn.__version__,
              threads, iterations, "iterations/s", seconds,
              **checked(kind, np, X, found[0].cluster_centers_.astype(np.float64), found[0].labels_))


if __name__ == "__main__":
    main()

"""probe_sklearn.py - logistic regression with scikit-learn: what ours is timed beside, with the same rule to stop.

    python probe_sklearn.py N C D THREADS REPEATS     one row, as bench-probe prints
"""
import sys

import rows

np = rows.need("numpy")
linear_model = rows.need("sklearn.linear_model")


def uniform(first, count):
    """SplitMix64 of the index, in [-1, 1) as bench/programs/probe.c draws it."""
    z = (np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1)


def objective(model, Z, y):
    """The sum of cross-entropies and |W|^2/2, in double."""
    logits = Z.astype(np.float64) @ model.coef_.T.astype(np.float64) + model.intercept_
    top = logits.max(1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(1))
    return (log_sum - logits[np.arange(len(y)), y]).sum() + 0.5 * (model.coef_.astype(np.float64) ** 2).sum()


def main():
    N, C, d, threads, repeats = map(int, sys.argv[1:6])
    y = np.arange(N) % C
    Z = np.float32(0.3) * uniform(0, C * d).reshape(C, d)[y] + uniform(C * d, N * d).reshape(N, d)
    Z = np.float32(4) * Z / (np.float32(1) + np.float32(0.5) * np.arange(d, dtype=np.float32))
    model = linear_model.LogisticRegression(C=1.0, tol=1e-6, max_iter=10000)
    seconds = rows.measure(lambda: model.fit(Z, y), repeats)
    print("probe_sklearn.py: %d iterations" % model.n_iter_[0], file=sys.stderr)
    rows.show("logreg N %d C %d d %d" % (N, C, d), "scikit-learn " + rows.need("sklearn").__version__, threads, 1, "/s",
              seconds, check=float("%.5g" % objective(model, Z, y)))


if __name__ == "__main__":
    main()

"""kmeans_faiss.py - k-means with faiss on the CPU: what ours is timed beside.

    python kmeans_faiss.py KIND X.npy CENTRES.npy ITERATIONS THREADS REPEATS     one row, as bench-kmeans prints

All samples, where faiss would take 256 per cluster. It has no last assignment: ours and scikit-learn's do one more.
"""
import os
import sys

with open("/proc/cpuinfo") as f:  # an older OpenBLAS takes a newer processor for one without AVX: half the speed
    if "avx512f" in f.read():
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")

import rows
from kmeans_sklearn import checked


def main():
    kind, (iterations, threads, repeats) = sys.argv[1], map(int, sys.argv[4:7])
    np, faiss = rows.need("numpy", "faiss")
    X, start = np.load(sys.argv[2]), np.load(sys.argv[3])
    C, d = start.shape
    found = []

    def work():
        k = faiss.Clustering(d, C)
        k.niter, k.max_points_per_centroid = iterations, len(X)
        faiss.copy_array_to_vector(start.ravel(), k.centroids)
        k.train(X, faiss.IndexFlatL2(d))
        found[:] = [faiss.vector_to_array(k.centroids).reshape(C, d)]

    faiss.omp_set_num_threads(threads)
    seconds = rows.measure(work, repeats)
    index = faiss.IndexFlatL2(d)
    index.add(found[0])
    labels = index.search(X, 1)[1][:, 0]
    rows.show("k-means %s %d x %d C %d" % ((kind,) + X.shape + (C,)), "faiss " + faiss.__version__, threads, iterations,
              "iterations/s", seconds,
              **checked(kind, np, X, found[0].astype(np.float64), labels))


if __name__ == "__main__":
    main()

# example.py - TURTLE beside k-means.    python example.py FEATURES.npy... LABELS.npy
import sys
import numpy as np
from libturtle import Turtle, cluster_accuracy
from sklearn.cluster import KMeans

*spaces, y = [np.load(path, mmap_mode="r") for path in sys.argv[1:]]
print("turtle  %.4f" % cluster_accuracy(y, Turtle(n_clusters=10, T=300).fit_predict(spaces)))
print("k-means %.4f" % cluster_accuracy(y, KMeans(10, random_state=42).fit_predict(np.hstack(spaces))))

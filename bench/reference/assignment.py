"""assignment.py - optimal assignment with SciPy and lapx: what ours is timed beside.

    python assignment.py scipy|lapx N REPEATS     one row, as bench-assignment prints
"""
import sys

import rows


def costs(np, n):
    """SplitMix64 of the index, as bench/programs/assignment.c draws it."""
    z = (np.arange(n * n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53).reshape(n, n)


def main():
    program, n, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    np = rows.need("numpy")
    if program == "scipy":
        scipy = rows.need("scipy")
        solve = rows.need("scipy.optimize").linear_sum_assignment
        name = "SciPy " + scipy.__version__
    else:
        lap = rows.need("lap")
        name = "lapx " + lap.__version__

        def solve(cost):
            _, columns, _ = lap.lapjv(cost)
            return np.arange(n), columns

    cost = costs(np, n)
    r, c = solve(cost)
    rows.show("assignment n %d" % n, name, 1, 1, "/s", rows.measure(lambda: solve(cost), repeats),
              check=float("%.9g" % cost[r, c].sum()))


if __name__ == "__main__":
    main()

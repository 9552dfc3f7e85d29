"""turtle_torch.py - TURTLE's training loop in plain PyTorch: what ours is timed beside.

    python turtle_torch.py N B C D[,D...] T THREADS REPEATS                    one row, as bench-training prints
    python turtle_torch.py N B C D[,D...] T THREADS REPEATS --gpu VARIANT      the same on a GPU
    python turtle_torch.py --check [--compile]                                 against the recorded runs in tests/goldens

Autograd, torch.nn.Linear and torch.optim.Adam on float32 tensors. VARIANT is
    reference   as the published implementation does it: rows drawn, gathered and copied by the CPU in each iteration
    resident    all data on the GPU, rows drawn there, nothing waited for
    best        written to win: turtle_torch_best.py
Batches and initial weights of the CPU and of `reference` come as the published implementation draws them, so that its
recorded losses can be compared; --check compares all variants, on the CPU, so that a mistake is found before a GPU is.
"""
import argparse
import os
import sys

import rows

torch, np = rows.need("torch", "numpy")
F = torch.nn.functional


class Task(torch.nn.Module):
    """A weight-normalised linear layer: W[c] = g[c] v[c] / |v[c]|."""

    def __init__(self, d, C):
        super().__init__()
        linear = torch.nn.Linear(d, C)
        self.v, self.bias = linear.weight, linear.bias
        self.g = torch.nn.Parameter(linear.weight.detach().norm(dim=1, keepdim=True))

    def weight(self):
        return self.v * (self.g / self.v.norm(dim=1, keepdim=True))

    def forward(self, Z):
        return F.linear(Z, self.weight(), self.bias)


def cross_entropy(logits, Y):
    return -(Y * F.log_softmax(logits, 1)).sum(1).mean()


class Turtle:
    """`device`: where it trains; `resident`: features lie there. Random numbers come from the host's streams where
    `recorded`, else from wherever they are needed."""

    def __init__(self, features, B, C, M=10, gamma=10.0, lr=0.001, warm=False, seed=42, device="cpu", resident=False,
                 recorded=True):
        torch.manual_seed(seed)
        self.numpy = np.random.RandomState(seed)
        self.B, self.C, self.M, self.gamma, self.lr, self.warm = B, C, M, gamma, lr, warm
        self.device, self.resident, self.recorded = device, resident, recorded
        self.d = [f.shape[1] for f in features]
        self.features = [torch.from_numpy(f).to(device) for f in features] if resident else features
        self.tasks = [Task(d, C).to(device) for d in self.d]
        self.outer = torch.optim.Adam([p for t in self.tasks for p in t.parameters()], lr=lr)
        self.fresh_heads()

    def fresh_heads(self):
        if self.recorded:
            self.heads = [torch.nn.Linear(d, self.C).to(self.device) for d in self.d]
        else:
            self.heads = [torch.nn.Linear(d, self.C, device=self.device) for d in self.d]
        self.inner = torch.optim.Adam([p for h in self.heads for p in h.parameters()], lr=self.lr)

    def batch(self):
        """(B,d) features of B rows, distinct ones, of every space."""
        N = len(self.features[0])
        if not self.recorded:
            chosen = torch.randperm(N, device=self.device)[: self.B]
            return [f[chosen] for f in self.features]
        chosen = self.numpy.permutation(N)[: self.B]
        if self.resident:
            chosen = torch.from_numpy(chosen).to(self.device)
            return [f[chosen] for f in self.features]
        return [torch.from_numpy(f[chosen]).float().to(self.device) for f in self.features]

    def iteration(self):
        """One outer iteration; losses before each inner step, the outer cross-entropies and entropies."""
        Z = self.batch()
        P = [t(z).softmax(1) for t, z in zip(self.tasks, Z)]
        Y = sum(P) / len(P)
        if not self.warm:
            self.fresh_heads()
        losses, constant = [], Y.detach()
        for _ in range(self.M):
            loss = sum(cross_entropy(h(z), constant) for h, z in zip(self.heads, Z))
            self.inner.zero_grad()
            loss.backward()
            self.inner.step()
            losses.append(loss.detach())
        with torch.no_grad():
            logits = [h(z) for h, z in zip(self.heads, Z)]
        outer = [cross_entropy(x, Y) for x in logits]
        means = [p.mean(0) for p in P]
        entropies = [torch.special.entr(p).sum() for p in means]
        self.outer.zero_grad()
        (sum(outer) - self.gamma * sum(entropies)).backward()
        self.outer.step()
        if not self.resident:  # what the published implementation shows after each iteration
            self.shown = float(sum(outer).detach()), float(sum(entropies).detach())
        return losses, [x.detach() for x in outer], [x.detach() for x in entropies]


# name, spaces, B, C, M, T, seed, warm
RUNS = (("patches_cold", 1, 512, 10, 3, 5, 42, False), ("patches_warm", 1, 512, 10, 3, 5, 42, True),
        ("both_cold", 2, 512, 10, 3, 5, 42, False), ("both_warm", 2, 512, 10, 3, 5, 42, True),
        ("both_cold_fullbatch", 2, 8000, 10, 10, 3, 43, False), ("patches_cold_C2", 1, 256, 2, 1, 4, 5, False))


def differences(make, runs=RUNS):
    """The largest of the runs' differences from the records, in |a-b|/|b|; make(features, B, C, M=, warm=, seed=)."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    spaces = [np.load(os.path.join(root, os.environ.get("TURTLE_BUILD", "build"), "data/demo/representations", s, "mnist_train.npy"))
              for s in ("patches", "gabor")]
    worst = 0.0
    for name, K, B, C, M, T, seed, warm in runs:
        turtle = make(spaces[:K], B, C, M=M, warm=warm, seed=seed)
        # copied: a variant may return the same tensors each time
        series = [[[float(x) for x in part] for part in turtle.iteration()] for _ in range(T)]
        for i, record in enumerate(("f64_inner_losses", "f64_loss", "f64_entropy")):
            expected = np.load(os.path.join(root, "tests/goldens/trajectory", name, record + ".npy"))
            found = np.array([s[i] for s in series]).reshape(expected.shape)
            difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def check(compiled):
    """Losses and entropies of six recorded runs to 1e-5 (both are float32; the records float64)."""
    import turtle_torch_best

    torch.set_num_threads(1)
    good = True
    for name, resident in (("as published", False), ("data on the device", True)):
        worst = differences(lambda *a, **k: Turtle(*a, resident=resident, **k))
        good &= worst <= 1e-5
        print("PyTorch %s, %s: 6 recorded runs, losses and entropies differ by %.1e at most (limit 1e-5)"
              % (torch.__version__, name, worst))
    return turtle_torch_best.check(differences, RUNS, compiled) and good


def main():
    if "--check" in sys.argv:
        sys.exit(not check("--compile" in sys.argv))
    arguments = argparse.ArgumentParser()
    for name in ("N", "B", "C"):
        arguments.add_argument(name, type=int)
    arguments.add_argument("d")
    for name in ("T", "threads", "repeats"):
        arguments.add_argument(name, type=int)
    arguments.add_argument("--gpu", choices=("reference", "resident", "best"))
    arguments.add_argument("--device", default="cuda", help="cpu: to see that it runs")
    arguments.add_argument("--warmup", type=int, default=50, help="iterations before the timed ones, on a GPU")
    arguments.add_argument("--budget", type=float, default=150.0, help="seconds for all combinations of `best`")
    a = arguments.parse_args()
    dims = [int(d) for d in a.d.split(",")]
    torch.set_num_threads(a.threads)
    case = "outer B %d C %d d %s" % (a.B, a.C, a.d) + (" T %d" % a.T if a.T > 1 else "")
    work = 46e-9 * a.B * a.C * sum(dims) * a.T
    program = "PyTorch " + torch.__version__
    if a.gpu and a.device == "cuda":
        rows.need_cuda(torch)
    if a.gpu == "best":
        import turtle_torch_best

        turtle_torch_best.race(a, dims, case, program, work)
        return
    draw = np.random.default_rng(0)
    features = [draw.uniform(-0.1, 0.1, (a.N, d)).astype(np.float32) for d in dims]
    if a.gpu:
        turtle = Turtle(features, a.B, a.C, device=a.device, resident=a.gpu == "resident",
                        recorded=a.gpu == "reference")
    else:
        turtle = Turtle(features, a.B, a.C)

    def iterate():
        for _ in range(a.T):
            turtle.iteration()

    if a.gpu:
        seconds = rows.measure_queue(torch, iterate, a.warmup, a.repeats, a.device)
        rows.show(case, "%s %s fp32" % (program, a.gpu), a.threads, work, "GFLOP/s", seconds)
    else:
        rows.show(case, program, a.threads, work, "GFLOP/s", rows.measure(iterate, a.repeats))


if __name__ == "__main__":
    main()

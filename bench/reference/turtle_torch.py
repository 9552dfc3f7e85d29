"""turtle_torch.py - TURTLE's training loop in plain PyTorch: what ours is timed beside.

    python turtle_torch.py N B C D[,D...] T THREADS REPEATS     one row, as bench-training prints
    python turtle_torch.py --check                              against the recorded runs in tests/goldens

Autograd, torch.nn.Linear and torch.optim.Adam on float32 tensors; batches as numpy draws them: the same random
numbers in the same order as the published implementation, so that its recorded losses can be compared.
"""
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

    def forward(self, Z):
        return F.linear(Z, self.v * (self.g / self.v.norm(dim=1, keepdim=True)), self.bias)


def cross_entropy(logits, Y):
    return -(Y * F.log_softmax(logits, 1)).sum(1).mean()


class Turtle:
    def __init__(self, features, B, C, M=10, gamma=10.0, lr=0.001, warm=False, seed=42):
        torch.manual_seed(seed)
        self.numpy = np.random.RandomState(seed)
        self.features, self.B, self.C, self.M, self.gamma, self.lr, self.warm = features, B, C, M, gamma, lr, warm
        self.d = [f.shape[1] for f in features]
        self.tasks = [Task(d, C) for d in self.d]
        self.outer = torch.optim.Adam([p for t in self.tasks for p in t.parameters()], lr=lr)
        self.fresh_heads()

    def fresh_heads(self):
        self.heads = [torch.nn.Linear(d, self.C) for d in self.d]
        self.inner = torch.optim.Adam([p for h in self.heads for p in h.parameters()], lr=self.lr)

    def iteration(self):
        """One outer iteration; losses before each inner step, the outer cross-entropies and entropies."""
        batch = self.numpy.permutation(len(self.features[0]))[: self.B]
        Z = [torch.from_numpy(f[batch]).float() for f in self.features]
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
            losses.append(loss.item())
        with torch.no_grad():
            logits = [h(z) for h, z in zip(self.heads, Z)]
        outer = [cross_entropy(x, Y) for x in logits]
        means = [p.mean(0) for p in P]
        entropies = [torch.special.entr(p).sum() for p in means]
        self.outer.zero_grad()
        (sum(outer) - self.gamma * sum(entropies)).backward()
        self.outer.step()
        return losses, [x.item() for x in outer], [x.item() for x in entropies]


def check():
    """Losses and entropies of six recorded runs to 1e-5 (both are float32; the records float64)."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    runs = (("patches_cold", 1, 512, 10, 3, 5, 42, False), ("patches_warm", 1, 512, 10, 3, 5, 42, True),
            ("both_cold", 2, 512, 10, 3, 5, 42, False), ("both_warm", 2, 512, 10, 3, 5, 42, True),
            ("both_cold_fullbatch", 2, 8000, 10, 10, 3, 43, False), ("patches_cold_C2", 1, 256, 2, 1, 4, 5, False))
    spaces = [np.load(os.path.join(root, "data/demo/representations", s, "mnist_train.npy"))
              for s in ("patches", "gabor")]
    worst = 0.0
    for name, K, B, C, M, T, seed, warm in runs:
        turtle = Turtle(spaces[:K], B, C, M, warm=warm, seed=seed)
        series = [turtle.iteration() for _ in range(T)]
        for i, record in enumerate(("f64_inner_losses", "f64_loss", "f64_entropy")):
            expected = np.load(os.path.join(root, "tests/goldens/trajectory", name, record + ".npy"))
            found = np.array([s[i] for s in series]).reshape(expected.shape)
            worst = max(worst, np.linalg.norm(found - expected) / np.linalg.norm(expected))
    print("PyTorch %s: 6 recorded runs, losses and entropies differ by %.1e at most (limit 1e-5)"
          % (torch.__version__, worst))
    return worst <= 1e-5


def main():
    if sys.argv[1:] == ["--check"]:
        sys.exit(not check())
    N, B, C = map(int, sys.argv[1:4])
    dims = [int(d) for d in sys.argv[4].split(",")]
    T, threads, repeats = map(int, sys.argv[5:8])
    torch.set_num_threads(threads)
    draw = np.random.default_rng(0)
    turtle = Turtle([draw.uniform(-0.1, 0.1, (N, d)).astype(np.float32) for d in dims], B, C)

    def iterate():
        for _ in range(T):
            turtle.iteration()

    case = "outer B %d C %d d %s" % (B, C, sys.argv[4]) + (" T %d" % T if T > 1 else "")
    rows.show(case, "PyTorch " + torch.__version__, threads, 46e-9 * B * C * sum(dims) * T, "GFLOP/s",
              rows.measure(iterate, repeats))


if __name__ == "__main__":
    main()

"""operations_torch.py - the operations of training in PyTorch: what ours are timed beside.

    python operations_torch.py B C D THREADS REPEATS     rows as bench-operations prints

Each as one would write it there: a fused call where PyTorch has one, the result in a given tensor where it takes one.
"""
import sys

import rows

torch, np = rows.need("torch", "numpy")
F = torch.nn.functional
SAMPLES, STEPS, PERMUTED = 50000, 10, 1000000


def main():
    B, C, d, threads, repeats = map(int, sys.argv[1:6])
    torch.set_num_threads(threads)
    torch.manual_seed(42)
    features = torch.rand(SAMPLES, d) * 0.2 - 0.1
    batch = torch.randperm(SAMPLES)[:B]
    Z, head = features[batch], torch.nn.Linear(d, C)
    W, bias = head.weight.detach(), head.bias.detach()
    logits = F.linear(Z, W, bias)
    P = torch.stack([logits.softmax(1)] * 2)
    Y, grad, residual = P.mean(0), torch.randn_like(W), torch.randn_like(logits)
    g = W.norm(dim=1, keepdim=True)
    numbers = np.random.RandomState(42)

    adam = torch.optim.Adam(head.parameters(), lr=0.001)
    moved = torch.nn.Parameter(W.clone())
    moved.grad = grad
    alone = torch.optim.Adam([moved], lr=0.001)

    def inner_steps():
        for _ in range(STEPS):
            loss = -(Y * F.log_softmax(head(Z), 1)).sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    def label_grad():
        log_p = F.log_softmax(F.linear(Z, W, bias), 1)
        return -(Y * log_p).sum(1).mean(), log_p / -B

    def cross_entropy():
        log_p = F.log_softmax(logits, 1)
        return -(Y * log_p).sum(1).mean(), (log_p.exp() - Y) / B, log_p / -B

    def task_grad():
        q = Y / 2 + 10.0 * (mean.log() + 1) / B
        return P[0] * (q - (P[0] * q).sum(1, keepdim=True))

    def weight_norm_grad():
        norm = W.norm(dim=1, keepdim=True)
        along = (grad * W).sum(1, keepdim=True) / norm
        return along, g / norm * grad - g * along / norm ** 2 * W

    mean = P[0].mean(0)
    flops, n = 1e-9 * B * C * d, 1e-9 * C * d
    out = torch.empty_like(logits)
    operations = (
        ("inner_steps, M 10", inner_steps, 4 * STEPS * flops, "GFLOP/s"),
        ("label_grad", label_grad, 2 * flops, "GFLOP/s"),
        ("matmul", lambda: torch.addmm(bias, Z, W.t(), out=out), 2 * flops, "GFLOP/s"),
        ("linear_grad", lambda: (residual.t() @ Z, residual.sum(0)), 2 * flops, "GFLOP/s"),
        ("gather", lambda: torch.index_select(features, 0, batch), 8e-9 * B * d, "GB/s"),
        ("softmax", lambda: torch.softmax(logits, 1), 8e-9 * B * C, "GB/s"),
        ("label_mean, K 2", lambda: P.mean(0), 12e-9 * B * C, "GB/s"),
        ("batch_entropy, K 2", lambda: torch.special.entr(P.mean(1)).sum(1), 8e-9 * B * C, "GB/s"),
        ("cross_entropy", cross_entropy, 16e-9 * B * C, "GB/s"),
        ("task_grad", task_grad, 12e-9 * B * C, "GB/s"),
        ("weight_norm", lambda: W * (g / W.norm(dim=1, keepdim=True)), 8 * n, "GB/s"),
        ("weight_norm_grad", weight_norm_grad, 12 * n, "GB/s"),
        ("adam", alone.step, 28 * n, "GB/s"),
        ("argmax", lambda: logits.topk(2, 1), 4e-9 * B * C, "GB/s"),
        ("random_linear", lambda: torch.rand(C, d), 4 * n, "GB/s"),
        ("random_rows", lambda: numbers.permutation(SAMPLES)[:B], 8e-9 * B, "GB/s"),
        ("numpy permutation of 1000000", lambda: numbers.permutation(PERMUTED), 8e-9 * PERMUTED, "GB/s"),
    )
    for name, work, amount, unit in operations:
        if name.startswith("inner"):
            seconds = rows.measure(work, repeats)
        else:
            with torch.no_grad():
                seconds = rows.measure(work, repeats)
        rows.show("C %d %s" % (C, name), "PyTorch " + torch.__version__, threads, amount, unit, seconds)


if __name__ == "__main__":
    main()

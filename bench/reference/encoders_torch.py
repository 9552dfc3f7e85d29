"""encoders_torch.py - CLIP's and DINOv2's image encoders in plain PyTorch: what ours are timed beside.

    python encoders_torch.py --weights FILE --batch B --threads N --repeats R     one row, as bench-encoders prints
    python encoders_torch.py --weights FILE --input X.npy --expect Y.npy          difference from recorded features

The fastest stock operations of whatever PyTorch runs it: fused attention where it exists, batch norm folded into
the convolutions, channels-last where that is faster, inference mode, float32.
"""
import argparse
import os

import rows

torch = rows.need("torch")
F = torch.nn.functional


def attention(q, k, v):
    """(B, heads, T, 64) -> (B, T, width)"""
    if hasattr(F, "scaled_dot_product_attention"):
        out = F.scaled_dot_product_attention(q, k, v)
    else:
        out = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v
    return out.transpose(1, 2).flatten(2)


def heads(x):
    B, T, d = x.shape
    return x.view(B, T, d // 64, 64).transpose(1, 2)


class Transformer:
    """Pre-norm blocks; `names` maps our parts to the file's."""

    def __init__(self, w, prefix, names, activation, eps):
        self.activation, self.eps, self.blocks = activation, eps, []
        while prefix + "%d." % len(self.blocks) + names["norm1"] + "weight" in w:
            block = prefix + "%d." % len(self.blocks)
            part = {k: (w.get(block + n + "weight"), w.get(block + n + "bias")) for k, n in names.items()}
            for i in (1, 2):  # LayerScale is folded into the projection in front of it
                gamma = w.get(block + "ls%d.gamma" % i)
                if gamma is not None:
                    key = "proj" if i == 1 else "fc2" if part["fc2"][0] is not None else "w3"
                    weight, bias = part[key]
                    part[key] = (weight * gamma[:, None], bias * gamma)
            self.blocks.append(part)

    def __call__(self, x):
        d = x.shape[-1]
        for p in self.blocks:
            q, k, v = F.linear(F.layer_norm(x, (d,), *p["norm1"], self.eps), *p["qkv"]).chunk(3, -1)
            x = x + F.linear(attention(heads(q), heads(k), heads(v)), *p["proj"])
            h = F.layer_norm(x, (d,), *p["norm2"], self.eps)
            if p["w12"][0] is not None:
                gate, value = F.linear(h, *p["w12"]).chunk(2, -1)
                x = x + F.linear(F.silu(gate) * value, *p["w3"])
            else:
                x = x + F.linear(self.activation(F.linear(h, *p["fc1"])), *p["fc2"])
        return x


CLIP_BLOCK = {"norm1": "ln_1.", "qkv": "attn.in_proj_", "proj": "attn.out_proj.", "norm2": "ln_2.",
              "fc1": "mlp.c_fc.", "fc2": "mlp.c_proj.", "w12": "-", "w3": "-"}
DINOV2_BLOCK = {"norm1": "norm1.", "qkv": "attn.qkv.", "proj": "attn.proj.", "norm2": "norm2.",
                "fc1": "mlp.fc1.", "fc2": "mlp.fc2.", "w12": "mlp.w12.", "w3": "mlp.w3."}


def clip_vit(w):
    patch = w["visual.conv1.weight"].shape[-1]
    blocks = Transformer(w, "visual.transformer.resblocks.", CLIP_BLOCK, lambda x: x * torch.sigmoid(1.702 * x), 1e-5)
    d = w["visual.conv1.weight"].shape[0]
    norm = {n: (w["visual." + n + ".weight"], w["visual." + n + ".bias"]) for n in ("ln_pre", "ln_post")}

    def run(images):
        x = F.conv2d(images, w["visual.conv1.weight"], stride=patch).flatten(2).transpose(1, 2)
        x = torch.cat([w["visual.class_embedding"].expand(len(x), 1, d), x], 1) + w["visual.positional_embedding"]
        x = blocks(F.layer_norm(x, (d,), *norm["ln_pre"], 1e-5))
        return F.layer_norm(x[:, 0], (d,), *norm["ln_post"], 1e-5) @ w["visual.proj"]

    return run, patch * round((len(w["visual.positional_embedding"]) - 1) ** 0.5)


def dinov2(w):
    weight = w["patch_embed.proj.weight"]
    d, patch, table = weight.shape[0], weight.shape[-1], w["pos_embed"]
    blocks = Transformer(w, "blocks.", DINOV2_BLOCK, F.gelu, 1e-6)
    side = round((table.shape[1] - 1) ** 0.5)
    grid = 16 if patch == 14 and side == 37 else side
    registers = w.get("register_tokens")
    cells = table[:, 1:].view(1, side, side, d).permute(0, 3, 1, 2)
    if grid != side and registers is None:
        cells = F.interpolate(cells, scale_factor=(grid + 0.1) / side, mode="bicubic")
    elif grid != side:
        cells = F.interpolate(cells, size=(grid, grid), mode="bicubic", antialias=True)
    position = cells.flatten(2).transpose(1, 2)
    first = w["cls_token"] + table[:, :1]
    if registers is not None:
        first = torch.cat([first, registers], 1)

    def run(images):
        x = F.conv2d(images, weight, w["patch_embed.proj.bias"], stride=patch).flatten(2).transpose(1, 2) + position
        x = blocks(torch.cat([first.expand(len(x), -1, d), x], 1))
        return F.layer_norm(x[:, 0], (d,), w["norm.weight"], w["norm.bias"], 1e-6)

    return run, patch * grid


def clip_resnet(w):
    def folded(conv, norm):
        scale = w[norm + "weight"] / torch.sqrt(w[norm + "running_var"] + 1e-5)
        weight = (w[conv + "weight"] * scale[:, None, None, None]).to(memory_format=torch.channels_last)
        return weight, w[norm + "bias"] - w[norm + "running_mean"] * scale

    stem = [folded("visual.conv%d." % i, "visual.bn%d." % i) for i in (1, 2, 3)]
    blocks = []
    for stage in (1, 2, 3, 4):
        index = 0
        while "visual.layer%d.%d.conv1.weight" % (stage, index) in w:
            name = "visual.layer%d.%d." % (stage, index)
            convs = [folded(name + "conv%d." % i, name + "bn%d." % i) for i in (1, 2, 3)]
            down = folded(name + "downsample.0.", name + "downsample.1.") if name + "downsample.0.weight" in w else None
            blocks.append((convs, down, 2 if stage > 1 and index == 0 else 1))
            index += 1
    pool = {n: (w["visual.attnpool.%s_proj.weight" % n], w["visual.attnpool.%s_proj.bias" % n]) for n in "qkvc"}
    table = w["visual.attnpool.positional_embedding"]

    def run(images):
        x = images.to(memory_format=torch.channels_last)
        for i, conv in enumerate(stem):
            x = F.relu_(F.conv2d(x, *conv, stride=1 if i else 2, padding=1))
        x = F.avg_pool2d(x, 2)
        for (one, two, three), down, stride in blocks:
            y = F.relu_(F.conv2d(F.relu_(F.conv2d(x, *one)), *two, padding=1))
            if stride > 1:
                x, y = F.avg_pool2d(x, stride), F.avg_pool2d(y, stride)
            x = F.relu_(F.conv2d(y, *three) + (F.conv2d(x, *down) if down else x))
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + table
        q, k, v = F.linear(x[:, :1], *pool["q"]), F.linear(x, *pool["k"]), F.linear(x, *pool["v"])
        return F.linear(attention(heads(q), heads(k), heads(v)), *pool["c"])[:, 0]

    return run, 32 * round((len(table) - 1) ** 0.5)


def load(path):
    try:
        w = torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError:
        w = torch.load(path, map_location="cpu")
    w = {k: v.float() if v.is_floating_point() else v for k, v in w.items()}
    if "visual.class_embedding" in w:
        return clip_vit(w)
    return dinov2(w) if "cls_token" in w else clip_resnet(w)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--input")
    parser.add_argument("--expect")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    run, side = load(a.weights)
    with torch.inference_mode():
        if a.input:
            import numpy
            found = run(torch.from_numpy(numpy.load(a.input)))
            expected = torch.from_numpy(numpy.load(a.expect))
            print("largest difference %.3g, relative %.3g" %
                  ((found - expected).abs().max(), (found - expected).norm() / expected.norm()))
            return
        images = torch.randn(a.batch, 3, side, side)
        seconds = rows.measure(lambda: run(images), a.repeats)
    rows.show(os.path.basename(a.weights).split(".")[0], "PyTorch " + torch.__version__, a.threads, a.batch, "images/s",
              seconds)


if __name__ == "__main__":
    main()

"""Plain NumPy twins of the kernels and algorithms. Nothing of sparsecpu is imported here.

Everything is dense, in the users' order, and as close to the equations as it gets.
"""

import math

import numpy as np


def to_tiles(x, lanes):
    """(samples, features) -> (tiles, features, lanes), zeros after the last sample."""
    samples, features = x.shape
    tiles = -(-samples // lanes)
    out = np.zeros((tiles, features, lanes), x.dtype)
    for s in range(samples):
        out[s // lanes, :, s % lanes] = x[s]
    return out


def from_tiles(tiled, samples):
    """(tiles, features, lanes) -> (samples, features)."""
    return np.array([tiled[s // tiled.shape[2], :, s % tiled.shape[2]] for s in range(samples)])


def dense(shape, indptr, indices, data):
    w = np.zeros(shape, np.float64)
    for i in range(shape[0]):
        for k in range(indptr[i], indptr[i + 1]):
            w[i, indices[k]] = data[k]
    return w


def at_nonzeros(matrix, indptr, indices):
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return matrix[rows, indices]


def linear(w, b, x):
    return x @ w.T + b


def linear_backward(w, x, dy):
    return dy @ w, dy.T @ x, dy.sum(axis=0)


def bf16(x):
    """float32 rounded to the nearest number of 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def relu(x):
    return np.maximum(x, 0)


def softmax_cross_entropy(z, y, weights=None, smoothing=0.0):
    n, classes = z.shape
    w = np.ones(n) if weights is None else weights
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    q = np.full((n, classes), smoothing / classes)
    q[np.arange(n), y] += 1 - smoothing
    loss = -(q * np.log(p)).sum(axis=1)
    return (w * loss).sum() / w.sum(), (w / w.sum())[:, None] * (p - q)


def sigmoid_cross_entropy(z, t, weights=None):
    w = np.ones(len(z)) if weights is None else weights
    p = 1 / (1 + np.exp(-z))
    loss = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)
    return (w * loss).sum() / w.sum(), (w / w.sum())[:, None] * (p - t)


def squared_error(z, t, weights=None):
    w = np.ones(len(z)) if weights is None else weights
    return (w * ((z - t) ** 2).sum(axis=1) / 2).sum() / w.sum(), (w / w.sum())[:, None] * (z - t)


def sgd(w, g, v, rate, momentum, decay, nesterov):
    g = g + decay * w
    v = momentum * v + g
    return w - rate * (g + momentum * v if nesterov else v), v


def adam(w, g, m, v, rate, b1, b2, eps, decay, decoupled, step):
    if decoupled:
        w = w - rate * decay * w
    else:
        g = g + decay * w
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    mh, vh = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
    return w - rate * mh / (np.sqrt(vh) + eps), m, v


def batch_norm(x, gamma, beta, eps):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def cosine_rate(p0, t, total):
    return 0.005 + (p0 - 0.005) * (1 + math.cos(math.pi * t / total)) / 2


def water_fill_by_sweeps(shares, caps, total):
    """The reference code's loop: full layers pass their surplus on, evenly, until none is left."""
    g = np.ceil(shares * total).astype(float)
    bonus = 0.0
    for _ in range(1000):
        residual = 0.0
        for i in range(len(g)):
            x = g[i] + bonus
            residual += max(x - caps[i], 0)
            g[i] = min(x, caps[i])
        bonus = residual / len(g)
        if residual == 0:
            break
    return np.floor(g)


class MaskedDenseSparseMomentum:
    """Sparse momentum as published: masks on dense weights, gradients and momenta.

    nnz is kept exact as the package does: quotas are the closed form, rounded by largest
    remainders, and where fewer inactive positions have momentum than a layer is to grow, the test
    fails rather than guess.
    """

    def __init__(self, weights, masks, biases, *, rate, momentum, p0, total_steps):
        self.w = [w.copy() for w in weights]
        self.mask = [m.copy() for m in masks]
        self.b = [b.copy() for b in biases]
        self.m = [np.zeros_like(w) for w in weights]
        self.mb = [np.zeros_like(b) for b in biases]
        self.rate, self.momentum, self.p0, self.total = rate, momentum, p0, total_steps
        self.log = []

    def gradients(self, x, y):
        hs = [x]
        for k, (w, b) in enumerate(zip(self.w, self.b, strict=True)):
            z = linear(w, b, hs[-1])
            hs.append(relu(z) if k < len(self.w) - 1 else z)
        _, d = softmax_cross_entropy(hs[-1], y)
        gw, gb = [None] * len(self.w), [None] * len(self.w)
        for k in range(len(self.w) - 1, -1, -1):
            dx, gw[k], gb[k] = linear_backward(self.w[k], hs[k], d)
            d = dx * (hs[k] > 0)
        return gw, gb

    def step(self, x, y):
        gw, gb = self.gradients(x, y)
        for k in range(len(self.w)):
            new, self.m[k] = sgd(self.w[k], gw[k], self.m[k], self.rate, self.momentum, 0.0, True)
            self.w[k] = new * self.mask[k]
            self.b[k], self.mb[k] = sgd(
                self.b[k], gb[k], self.mb[k], self.rate, self.momentum, 0.0, True
            )

    def update(self, t):
        layers = range(len(self.w))
        p = cosine_rate(self.p0, t, self.total)
        v = np.array([np.abs(self.m[k][self.mask[k]]).mean() for k in layers])
        q = v / v.sum()
        drops = []
        for k in layers:
            nz, size = self.mask[k].sum(), self.mask[k].size
            sparsity = 1 - nz / size
            rate = min(sparsity, p) if sparsity < 0.2 and q[k] > 1 / len(self.w) else p
            r = min(math.ceil(rate * nz), nz - 1)
            magnitude = np.where(self.mask[k], np.abs(self.w[k]), np.inf).ravel()
            drops.append(np.sort(np.argsort(magnitude, kind="stable")[:r]))
        total = sum(map(len, drops))
        free = np.array([self.mask[k].size - self.mask[k].sum() + len(drops[k]) for k in layers])
        caps = 0.99 * free
        g = q * total
        full = np.zeros(len(g), bool)
        while True:
            c = (total - caps[full].sum() - g[~full].sum()) / (~full).sum()
            over = ~full & (g + c > caps)
            if not over.any():
                break
            full |= over
        wanted = np.where(full, caps, g + c)
        counts = np.floor(wanted + 1e-9).astype(int)
        order = np.argsort(-(wanted - counts), kind="stable")
        order = [k for k in order if counts[k] < np.floor(caps[k])]
        for k in order[: total - counts.sum()]:
            counts[k] += 1
        grown = []
        for k in layers:
            mask = self.mask[k].ravel().copy()
            mask[drops[k]] = False
            score = np.where(mask, -1.0, np.abs(self.m[k].ravel()))
            best = np.sort(np.argsort(-score, kind="stable")[: counts[k]])
            assert (score[best] > 0).all()
            mask[best] = True
            self.mask[k] = mask.reshape(self.mask[k].shape)
            self.w[k] = self.w[k] * self.mask[k]  # regrown weights keep their value
            grown.append(best)
        self.log.append((drops, grown))


class MaskedDenseRigL(MaskedDenseSparseMomentum):
    """RigL as published: the dense gradient of one batch, which trains nothing else."""

    def update(self, x, y, t, allowed=None, rounding=math.floor, regrow=True):
        """``allowed``: sets of positions that may grow, one per layer (GSE's subset)."""
        gw, _ = self.gradients(x, y)
        alpha = self.p0 * (1 + math.cos(math.pi * t / self.total)) / 2
        for k, g in enumerate(gw):
            count = rounding(alpha * self.mask[k].sum())
            score = np.abs(g).ravel()
            if allowed is not None:
                count = min(count, len(allowed[k]))
            old = self.mask[k].ravel()
            magnitude = np.where(old, np.abs(self.w[k]).ravel(), np.inf)
            lost = np.argsort(magnitude, kind="stable")[:count]
            mask = old.copy()
            mask[lost] = False
            free = ~mask if regrow else ~old
            if allowed is not None:
                free &= np.isin(np.arange(mask.size), allowed[k])
            won = np.argsort(-np.where(free, score, -1.0), kind="stable")[:count]
            mask[won] = True
            fresh = np.zeros(mask.size, bool)
            fresh[won] = ~old[won]
            self.mask[k] = mask.reshape(g.shape)
            keep = self.mask[k] & ~fresh.reshape(g.shape)
            self.w[k], self.m[k] = self.w[k] * keep, self.m[k] * keep
            self.log.append((t, k, np.sort(lost), np.sort(won)))

    def step(self, x, y):
        super().step(x, y)
        self.m = [m * mask for m, mask in zip(self.m, self.mask, strict=True)]  # truly sparse


def unfold(x, kernel, stride, padding):
    """(samples, channels, h, w) -> (samples * pixels, channels * ky * kx): im2col, for tests."""
    windows = [window.reshape(len(x), -1) for _, _, window in _windows(x, kernel, stride, padding)]
    return np.stack(windows, axis=1).reshape(-1, windows[0].shape[1])


def to_planes(x, lanes):
    """(samples, channels, height, width) -> (tiles, height, channels, width, lanes)."""
    samples, channels, height, width = x.shape
    tiles = -(-samples // lanes)
    out = np.zeros((tiles, height, channels, width, lanes), x.dtype)
    for s in range(samples):
        out[s // lanes, ..., s % lanes] = x[s].transpose(1, 0, 2)
    return out


def from_planes(planes, samples):
    """(tiles, height, channels, width, lanes) -> (samples, channels, height, width)."""
    lanes = planes.shape[4]
    return np.array([planes[s // lanes, ..., s % lanes].transpose(1, 0, 2) for s in range(samples)])


def _windows(x, kernel, stride, padding, fill=0.0):
    """Yield (row, column, window) of a padded image stack."""
    edges = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
    padded = np.pad(x, edges, constant_values=fill)
    for i in range((padded.shape[2] - kernel[0]) // stride[0] + 1):
        for j in range((padded.shape[3] - kernel[1]) // stride[1] + 1):
            top, left = i * stride[0], j * stride[1]
            yield i, j, padded[:, :, top : top + kernel[0], left : left + kernel[1]]


def _out_size(x, kernel, stride, padding):
    return [(x.shape[2 + d] + 2 * padding[d] - kernel[d]) // stride[d] + 1 for d in (0, 1)]


def conv2d(x, w, b, stride, padding, groups):
    n_out, per_group = w.shape[:2]
    y = np.empty((len(x), n_out, *_out_size(x, w.shape[2:], stride, padding)))
    for i, j, window in _windows(x, w.shape[2:], stride, padding):
        for o in range(n_out):
            g = o // (n_out // groups) * per_group
            y[:, o, i, j] = (window[:, g : g + per_group] * w[o]).sum(axis=(1, 2, 3)) + b[o]
    return y


def conv2d_backward(x, w, dy, stride, padding, groups):
    """Return dx, dw, db: every product of the forward pass, once more."""
    n_out, per_group, kh, kw = w.shape
    (py, px), dw = padding, np.zeros(w.shape)
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * py, x.shape[3] + 2 * px))
    for i, j, window in _windows(x, (kh, kw), stride, padding):
        top, left = i * stride[0], j * stride[1]
        for o in range(n_out):
            g = slice(o // (n_out // groups) * per_group, (o // (n_out // groups) + 1) * per_group)
            d = dy[:, o, i, j][:, None, None, None]
            dw[o] += (window[:, g] * d).sum(axis=0)
            dx[:, g, top : top + kh, left : left + kw] += w[o] * d
    dx = dx[:, :, py : py + x.shape[2], px : px + x.shape[3]]
    return dx, dw, dy.sum(axis=(0, 2, 3))


def max_pool(x, dy, kernel, stride, padding):
    """Return the maxima and dx; the first of equal pixels, row by row, wins."""
    y = np.empty((*x.shape[:2], *_out_size(x, kernel, stride, padding)))
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]))
    for i, j, window in _windows(x, kernel, stride, padding, -np.inf):
        flat = window.reshape(*window.shape[:2], -1)
        y[:, :, i, j] = flat.max(axis=2)
        winner = flat.argmax(axis=2)
        for s in range(len(x)):
            for c in range(x.shape[1]):
                row, column = divmod(winner[s, c], kernel[1])
                dx[s, c, i * stride[0] + row, j * stride[1] + column] += dy[s, c, i, j]
    (py, px), (height, width) = padding, x.shape[2:]
    return y, dx[:, :, py : py + height, px : px + width]


def average_pool(x, dy, kernel, stride, padding):
    """Return the means, zeros of the padding counted, and dx."""
    w = np.zeros((x.shape[1], 1, *kernel)) + 1 / (kernel[0] * kernel[1])
    y = conv2d(x, w, np.zeros(x.shape[1]), stride, padding, x.shape[1])
    return y, conv2d_backward(x, w, dy, stride, padding, x.shape[1])[0]

"""Convolutions and pooling, window by window."""

import numpy as np


def unfold(x, kernel, stride, padding):
    """(samples, channels, h, w) -> (samples * pixels, channels * ky * kx): im2col, for tests."""
    windows = [window.reshape(len(x), -1) for _, _, window in _windows(x, kernel, stride, padding)]
    return np.stack(windows, axis=1).reshape(-1, windows[0].shape[1])


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

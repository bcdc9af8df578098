"""Masked-dense RigL with rows in groups, to see what makes groups good (see docs/groups.md).

PyTorch, dense weights times masks: slow, and simple enough to try ideas with. Fashion-MNIST,
784-400-200-10, SGD with momentum 0.9 and a cosine from 0.05, an update every half epoch.

    python docs/studies/good_groups.py --seeds 6 --epochs 5 --densities 0.05,0.02
"""

import argparse
import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from sparsecpu.datasets import load_fashion_mnist

WIDTHS, BATCH, EVERY = (784, 400, 200, 10), 128, 234


@dataclass(frozen=True)
class Idea:
    """One way to run: groups, how scores are added up, and when rows are renamed."""

    group: int = 4
    score: str = "l1"
    #: Rename hidden rows at the start, so that those of a group want the same columns.
    rename_at_start: bool = False
    #: The first columns are those of the largest gradients, not random ones.
    columns_by_gradient: bool = False
    #: At so many of the first updates, rows move to the groups whose columns they want.
    renaming_updates: int = 0
    #: Groups become smaller, from these fractions of the training on.
    falls: dict[float, int] = field(default_factory=dict)


IDEAS = {
    "rows alone": Idea(group=1),
    "groups of 4": Idea(),
    "renamed at the start": Idea(rename_at_start=True),
    "first columns by gradient": Idea(columns_by_gradient=True),
    "both of these": Idea(rename_at_start=True, columns_by_gradient=True),
    "renamed at the first 2 updates": Idea(renaming_updates=2),
    "renamed at all updates": Idea(renaming_updates=1000),
    "8, from 25 % on 4": Idea(group=8, falls={0.25: 4}),
    "8, from 25 % on 4, from 50 % on 1": Idea(group=8, falls={0.25: 4, 0.5: 1}),
    "4, from 25 % on 1": Idea(falls={0.25: 1}),
    "4, from 50 % on 1": Idea(falls={0.5: 1}),
    "L2 scores": Idea(score="l2"),
}


def load():
    """Return training and test images, standardised by one mean and deviation, and classes."""
    data = load_fashion_mnist()
    images = [np.asarray(x, np.float32).reshape(len(x), -1) for x in (data.x_train, data.x_test)]
    mean, deviation = images[0].mean(), images[0].std()
    images = [torch.tensor((x - mean) / deviation) for x in images]
    return *images, *(torch.tensor(np.asarray(y)) for y in (data.y_train, data.y_test))


def fold(scores, group, score="l1"):
    """Return the score of each shared column: that of its rows added up, or of their squares."""
    scores = scores.abs() if score == "l1" else scores**2
    missing = -len(scores) % group
    scores = torch.cat([scores, scores.new_zeros(missing, scores.shape[1])])
    return scores.view(-1, group, scores.shape[1]).sum(1)


def largest(scores, count):
    """Return a mask of the largest scores of all."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask.view(-1)[scores.flatten().topk(count).indices] = True
    return mask


def spread(mask, group, rows):
    """Return the mask of rows, of a mask of shared columns."""
    return mask.repeat_interleave(group, 0)[:rows]


def like_minded(wanted, group):
    """Return the rows in an order in which the rows of a group want similar columns."""
    wanted = wanted.abs() - wanted.abs().mean(0)
    wanted = wanted / (wanted.norm(dim=1, keepdim=True) + 1e-12)
    alike, order = wanted @ wanted.T, []
    alike.fill_diagonal_(-math.inf)
    left = torch.ones(len(wanted), dtype=torch.bool)
    while left.any():
        row = int(left.nonzero()[0, 0])
        left[row] = False
        near = torch.where(left, alike[row], -math.inf).topk(group - 1).indices
        found = [row, *(int(r) for r in near if left[r])]
        left[found] = False
        order += found
    return torch.tensor(order)


class Network:
    """Three layers, each of dense weights, a mask, momentum and a size of groups."""

    def __init__(self, idea, density, seed, images, classes):
        self.idea, self.images, self.classes = idea, images, classes
        self.random = torch.Generator().manual_seed(seed)
        self.weights, self.masks, self.biases, self.groups = [], [], [], []
        for n_in, n_out in pairwise(WIDTHS):
            last = n_out == WIDTHS[-1]
            group, kept = (1, max(density, 0.3)) if last else (idea.group, density)
            count = round(kept * n_in) * -(-n_out // group)
            random = torch.rand(-(-n_out // group), n_in, generator=self.random)
            self.masks.append(spread(largest(random, count), group, n_out))
            weights = torch.rand(n_out, n_in, generator=self.random) * 2 - 1
            self.weights.append(weights * math.sqrt(3 / (kept * n_in)) * self.masks[-1])
            self.biases.append(torch.zeros(n_out))
            self.groups.append(group)
        self.momenta = [torch.zeros_like(array) for array in self.weights + self.biases]
        self.arrange()

    def batch(self, size):
        """Return the numbers of some random samples."""
        return torch.randperm(len(self.images), generator=self.random)[:size]

    def forward(self, x):
        """Return what each layer reads, and the outputs."""
        values = [x]
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ w.T + b
            x = x.relu() if layer < len(WIDTHS) - 2 else x
            values.append(x)
        return values

    def gradients(self, samples):
        """Return dense gradients of all weights, and of all biases."""
        values = self.forward(self.images[samples])
        d = values[-1].softmax(1)
        d[torch.arange(len(samples)), self.classes[samples]] -= 1
        d, of_weights, of_biases = d / len(samples), [], []
        for layer in reversed(range(len(self.weights))):
            of_weights.insert(0, d.T @ values[layer])
            of_biases.insert(0, d.sum(0))
            if layer:
                d = (d @ self.weights[layer]) * (values[layer] > 0)
        return of_weights, of_biases

    def arrange(self):
        """Do what an idea does before training, from the gradients of 1024 samples."""
        if not (self.idea.rename_at_start or self.idea.columns_by_gradient):
            return
        samples = self.batch(1024)
        gradients, _ = self.gradients(samples)
        for layer in range(len(WIDTHS) - 2):
            wanted, group = gradients[layer], self.groups[layer]
            if self.idea.rename_at_start:  # what a row wants comes from its outgoing weights
                order = like_minded(wanted, group)
                wanted = wanted[order]
                for arrays in (self.weights, self.masks):
                    arrays[layer + 1] = arrays[layer + 1][:, order]
            if self.idea.columns_by_gradient:
                scores = fold(wanted, group)
                scores -= scores.mean(0)  # all groups would read the same few pixels otherwise
                count = int(self.masks[layer][::group].sum()) // len(scores)
                chosen = torch.zeros_like(scores, dtype=torch.bool)
                chosen.scatter_(1, scores.topk(count).indices, True)
                mask = spread(chosen, group, len(wanted))
                values = torch.rand(mask.shape, generator=self.random) * 2 - 1
                sums = self.forward(self.images[samples])[layer] @ (values * mask).T
                values /= sums.std(0)[:, None] + 1e-6  # pixels so near each other are alike
                self.masks[layer], self.weights[layer] = mask, values * mask

    def move_rows(self, layer, gradient):
        """Let rows take the places of others where they want the columns of that group more.

        A row wants the columns of its weights by their magnitude, and others by the gradient,
        scaled so that as many of the largest weigh as much in all. What it does not find at its
        new place is lost.
        """
        w, mask, group = self.weights[layer], self.masks[layer], self.groups[layer]
        free = gradient.abs() * ~mask
        scale = w.abs().sum() / (free.flatten().topk(int(mask.sum())).values.sum() + 1e-12)
        wanted = torch.where(mask, w.abs(), free * scale)
        value = (wanted @ mask[::group].float().T).repeat_interleave(group, 1)[:, : len(w)]
        value += 1e-6 * torch.eye(len(w))  # rows that gain nothing stay
        rows, places = linear_sum_assignment(value.numpy(), maximize=True)
        order = torch.tensor(rows[np.argsort(places)])
        for arrays in (self.weights, self.biases, self.momenta):
            arrays[layer] = arrays[layer][order]
        self.momenta[3 + layer] = self.momenta[3 + layer][order]
        for arrays in (self.weights, self.masks, self.momenta):
            arrays[layer + 1] = arrays[layer + 1][:, order]
        self.weights[layer] *= mask
        self.momenta[layer] *= mask
        return gradient[order]

    def update(self, gradients, rate, number):
        """Drop the smallest shared columns and grow those of the largest gradients, as RigL."""
        for layer, gradient in enumerate(gradients):
            group, score = self.groups[layer], self.idea.score
            if number < self.idea.renaming_updates and layer < len(WIDTHS) - 2:
                gradient = self.move_rows(layer, gradient)
                gradients[layer + 1] = self.gradients(self.last)[0][layer + 1]  # renamed
            w, old = self.weights[layer], self.masks[layer]
            columns = fold(old.float(), group) > 0
            count = int(rate * columns.sum())
            kept = torch.where(columns, fold(w, group, score), -math.inf)
            columns = largest(kept, int(columns.sum()) - count)
            grown = torch.where(columns, -math.inf, fold(gradient, group, score))
            mask = spread(columns | largest(grown, count), group, len(w))
            self.masks[layer] = mask
            self.weights[layer] *= mask
            self.momenta[layer] *= mask & old

    def train(self, epochs):
        """Train for some epochs."""
        steps = epochs * (len(self.images) // BATCH)
        stop, falls = int(0.75 * steps), dict(self.idea.falls)
        for step in range(steps):
            if step % (len(self.images) // BATCH) == 0:
                order = self.batch(len(self.images))
                start = step
            self.last = order[(step - start) * BATCH : (step - start + 1) * BATCH]
            of_weights, of_biases = self.gradients(self.last)
            for share in [share for share in falls if step >= share * steps]:
                smaller = falls.pop(share)
                self.groups = [min(group, smaller) for group in self.groups]
            if step and step % EVERY == 0 and step < stop:
                rate = 0.15 * (1 + math.cos(math.pi * step / stop))
                self.update(of_weights, rate, step // EVERY - 1)
                continue
            lr = 0.025 * (1 + math.cos(math.pi * step / steps))
            for i, gradient in enumerate(of_weights + of_biases):
                array = (self.weights + self.biases)[i]
                if i < 3:
                    gradient = (gradient + 1e-4 * array) * self.masks[i]
                self.momenta[i].mul_(0.9).add_(gradient)
                array.sub_(self.momenta[i], alpha=lr)


def main():
    """Run all ideas and print their accuracies, and differences to groups of four."""
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=6)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--densities", default="0.05,0.02")
    asked = options.parse_args()
    torch.set_num_threads(1)
    images, tests, classes, wanted = load()
    for density in (float(text) for text in asked.densities.split(",")):
        found = {name: [] for name in IDEAS}
        for seed in range(asked.seeds):
            for name, idea in IDEAS.items():
                network = Network(idea, density, seed, images, classes)
                network.train(asked.epochs)
                right = network.forward(tests)[-1].argmax(1) == wanted
                found[name].append(100 * right.float().mean().item())
        base = np.array(found["groups of 4"])
        for name, accuracies in found.items():
            apart = np.array(accuracies) - base
            error = apart.std(ddof=1) / math.sqrt(len(apart))
            mean = np.mean(accuracies)
            print(f"{density}  {name:34} {mean:.2f}  {apart.mean():+.2f} ± {error:.2f}", flush=True)


if __name__ == "__main__":
    main()

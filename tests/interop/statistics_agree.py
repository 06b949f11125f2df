# SPDX-License-Identifier: Apache-2.0
"""Compares our statistics with SciPy's and scikit-learn's on the same vectors, to 1e-9.

Usage: statistics_agree.py BUILD_DIR/e2e/figures"""
import subprocess
import sys

import numpy
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, roc_auc_score

random = numpy.random.default_rng(20)
asked, wanted = [], []


def ask(name, *vectors):
    words = [name]
    for vector in vectors:
        words += [repr(float(x)) for x in numpy.ravel(vector)]
    asked.append(" ".join(words))


def half_row(counts):
    return numpy.where(counts > 0, counts, 0.5) / counts.sum()


def card_precision(scores, labels, days, customers, k):
    """The handbook's text: each customer once a day, those found before left out, k looked at."""
    found, figures = set(), []
    for day in numpy.unique(days):
        best = {}
        for score, label, customer in zip(scores[days == day], labels[days == day], customers[days == day]):
            if customer not in found:
                before = best.get(customer, (-numpy.inf, 0))
                best[customer] = (max(before[0], score), max(before[1], label))
        looked_at = sorted(best, key=lambda c: (-best[c][0], c))[:k]
        caught = [c for c in looked_at if best[c][1]]
        found.update(caught)
        figures.append(len(caught) / k)
    return numpy.mean(figures)


for bins in (2, 5, 12, 40):
    for n in (30, 1000, 100000):
        p = random.dirichlet(numpy.full(bins, 0.5))
        reference = random.multinomial(50000, p)
        current = random.multinomial(n, random.dirichlet(500 * p + 0.01))
        used = (reference > 0) | (current > 0)
        a, b = half_row(reference)[used], half_row(current)[used]
        ask("drift", bins, reference, current)
        wanted.append((float(numpy.sum(special.rel_entr(a, b) + special.rel_entr(b, a))),
                       float(jensenshannon(reference, current, base=2)) ** 2))

for n, digits in ((50, 1), (3000, 2), (20000, 9)):
    labels = (random.random(n) < 0.1).astype(int)
    scores = numpy.round(random.normal(size=n) + labels, digits)  # with ties, and without
    days, customers = random.integers(0, 5, n), random.integers(0, n // 3, n)
    k = 20
    ask("rank", n, k, scores, labels, days, customers)
    wanted.append((average_precision_score(labels, scores), roc_auc_score(labels, scores),
                   card_precision(scores, labels, days, customers, k)))

for n in (100, 5000):
    p = random.beta(0.3, 3, n)
    labels = (random.random(n) < p * 1.2).astype(int)
    happened, expected = calibration_curve(labels, p, n_bins=10, strategy="quantile")
    ask("calibration", n, 10, p, labels)
    wanted.append((float(numpy.mean(numpy.abs(happened - expected))),))

for reference_x, reference_n, x, n in ((0, 1000, 3, 100), (20, 1000, 2, 100), (900, 1000, 850, 1000), (5, 40, 40, 40)):
    law = stats.betabinom(n, reference_x + 0.5, reference_n - reference_x + 0.5)
    ask("share", reference_x, reference_n, x, n)
    wanted.append((float(law.sf(x - 1)), float(law.cdf(x))))

for n in (1, 10, 200):
    p = random.random(n) ** 3
    ask("believed", n, 0.05, p)
    wanted.append((float(numpy.sum(stats.false_discovery_control(p) <= 0.05)),))

for x, df in ((0.5, 1), (20.0, 9), (100.0, 15), (400.0, 30)):
    ask("chi2", x, df)
    wanted.append((float(stats.chi2.sf(x, df)),))

told = subprocess.run([sys.argv[1]], input="\n".join(asked) + "\n", capture_output=True, text=True, check=True)
answers = [[float(x) for x in line.split()] for line in told.stdout.splitlines()]
assert len(answers) == len(wanted), f"{len(answers)} answers to {len(wanted)} questions"
worst = 0.0
for question, ours, theirs in zip(asked, answers, wanted):
    assert len(ours) == len(theirs), question[:60]
    for mine, other in zip(ours, theirs):
        difference = abs(mine - other)
        worst = max(worst, difference)
        assert difference <= 1e-9, f"{question[:60]}...: {mine!r}, theirs {other!r}"
print(f"{len(wanted)} comparisons, none further apart than {worst:.1e}")

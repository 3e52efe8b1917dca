"""Rank correlations of the similarity weight within each seed."""

import math

import pytest

from experiments.similarity_weight.experiment import correlations

KEY = 'detection/f1'


def test_correlations_are_taken_within_a_seed():
    found = {
        0.0: {'0': {KEY: 0.1}, '1': {KEY: 0.9}},
        1.0: {'0': {KEY: 0.3}, '1': {KEY: 0.8}},
        10.0: {'0': {KEY: 0.2}, '1': {KEY: 0.1}},
    }
    slopes = correlations(found)
    assert slopes['0'][KEY] == pytest.approx(0.5)
    assert slopes['1'][KEY] == pytest.approx(-1.0)


def test_ties_share_their_rank():
    found = {w: {'0': {KEY: v}} for w, v in ((0.0, 0.1), (1.0, 0.1), (3.0, 0.2))}
    assert correlations(found)['0'][KEY] == pytest.approx(math.sqrt(3) / 2, abs=5e-5)


def test_two_weights_have_no_correlation():
    assert correlations({w: {'0': {KEY: w}} for w in (0.0, 1.0)}) == {}

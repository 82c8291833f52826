"""Sources of train and val are disjoint."""

from __future__ import annotations

import difflib

import numpy as np
from sklearn.datasets import load_digits

from mmvmlp.datasets.digit_scenes.sources import (
    FORM_STARTS,
    PHOTOGRAPHS,
    attribution,
    load_digit_scans,
    load_photograph_regions,
)


def test_scans_of_the_splits_are_disjoint_and_complete() -> None:
    train, val = load_digit_scans('train'), load_digit_scans('val')
    together = np.concatenate([train.indices, val.indices])
    assert np.array_equal(np.sort(together), np.arange(1797))
    assert len(train.images) == 1415
    assert set(val.labels) == set(range(10))
    images = load_digits().images / 16
    assert np.allclose(train.images, images[train.indices])
    assert np.allclose(val.images, images[val.indices])


def test_every_form_repeats_the_same_text() -> None:
    labels = ''.join(map(str, load_digits().target))
    forms = [
        labels[start:stop]
        for start, stop in zip(FORM_STARTS, (*FORM_STARTS[1:], len(labels)), strict=True)
    ]
    assert len(forms[0]) == 130
    for form in forms:
        # A few scans are missing, so a form may lack some digits of the text.
        likeness = difflib.SequenceMatcher(None, forms[0], form, autojunk=False).ratio()
        assert likeness > 0.95
        assert difflib.SequenceMatcher(None, forms[0][:29], form[:29]).ratio() > 0.9


def test_photograph_regions_share_no_column() -> None:
    for photograph in PHOTOGRAPHS:
        (start, stop), (other_start, other_stop) = (
            photograph.columns['train'],
            photograph.columns['val'],
        )
        assert stop <= other_start or other_stop <= start
        assert not any(column % 16 for column in (start, stop, other_start, other_stop))


def test_regions_are_cut_as_declared() -> None:
    for split in ('train', 'val'):
        regions = load_photograph_regions(split)
        for region, photograph in zip(regions, PHOTOGRAPHS, strict=True):
            start, stop = photograph.columns[split]
            assert region.shape == (427, stop - start, 3)


def test_attribution_names_authors_licence_and_changes() -> None:
    text = attribution()
    for photograph in PHOTOGRAPHS:
        assert photograph.author in text
        assert photograph.page in text
    assert 'https://creativecommons.org/licenses/by/2.0/' in text
    assert 'Changes made' in text

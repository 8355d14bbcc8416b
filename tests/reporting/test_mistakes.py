"""Confused classes and the most wrong images."""

import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from finished import predictions

from ablations.config import Job
from ablations.data.store import Store
from ablations.record import pack, unpack
from ablations.reporting.documents import page
from ablations.reporting.evidence import gather
from ablations.reporting.mistakes import PAIRS, confusions
from ablations.reporting.pictures import WRONG, draw


def add(folder, seed, labels, predicted, classes, **changes):
    """A record whose test images have these classes."""
    views = {view: pack(np.array(predicted)) for view in ("center", "ten_view")}
    data = {"classes": classes, "test_images": len(labels)}
    packed = pack(np.array(labels))
    return folder.add(0.25, seed, labels=packed, predicted=views, data=data, **changes)


def test_a_matrix_counts_true_by_predicted_classes_over_the_seeds(folder):
    add(folder, 0, [0, 0, 1, 2], [0, 1, 1, 1], 3)
    add(folder, 1, [0, 0, 1, 2], [1, 1, 1, 2], 3)
    add(folder, 2, [0, 0, 1, 2], [2, 2, 2, 2], 3, arm="norm=none")
    (section,) = gather(folder.path).sections
    baseline, other = confusions(section)
    assert (baseline.arm, baseline.runs, other.runs) == ("baseline", 2, 1)
    assert baseline.counts.tolist() == [[1, 3, 0], [0, 2, 0], [0, 1, 1]]
    shares = [[share for share, _ in cells] for _, cells in baseline.matrix]
    assert shares == [[25, 75, 0], [0, 100, 0], [0, 50, 50]]
    assert baseline.pairs == [
        ("class 0", "class 1", "1.5", "75.0"),
        ("class 2", "class 1", "0.5", "50.0"),
    ]


def test_beyond_twenty_classes_there_are_pairs_only(folder):
    labels = np.arange(30)
    add(folder, 0, labels, (labels + 1) % 30, 30)
    evidence = gather(folder.path)
    (found,) = confusions(evidence.sections[0])
    assert found.matrix == []
    assert len(found.pairs) == PAIRS
    html = page(evidence, {})
    assert '<table class="confusion">' not in html
    assert html.count("<td>class 1</td>") == 1


def test_classes_have_the_names_of_the_data(finished, record):
    (section,) = gather(finished.parent).sections
    (found,) = confusions(section)
    store = Store(Path(Job.load(finished).store))
    assert found.names == list(store.classes)
    wrong = found.counts.sum() - np.trace(found.counts)
    assert wrong == (unpack(record.predicted[record.evaluation]) != unpack(record.labels)).sum()


def test_the_most_wrong_images_have_the_least_probable_true_class(finished, record):
    evidence = gather(finished.parent)
    (section,) = evidence.sections
    pictures = draw(section)
    run, found = pictures.wrong["baseline"]
    assert run.run_id == record.run_id
    table, labels = predictions(finished)[record.evaluation], unpack(record.labels)
    true = table[np.arange(len(labels)), labels].astype(float)
    least = np.sort(true[table.argmax(1) != labels])[:WRONG]
    shares = [prediction.classes[1][1] for prediction in found]
    np.testing.assert_allclose(shares, 100 * least, rtol=1e-6)
    for image, (predicted, actual) in found:
        assert (predicted[2], actual[2]) == (False, True)
        assert actual[0] == image.text != predicted[0]
        assert predicted[1] >= actual[1]
    pictures.run = None  # only these images
    html = unescape(page(evidence, {}, {section.key: pictures}))
    assert f"The most wrong test images of one run, seed {record.seed}" in html
    assert len(re.findall("<img ", html)) == len(shares)


@pytest.mark.parametrize("lost", ["predictions.npz", "config.yaml"])
def test_without_predictions_or_data_there_are_no_images(finished, record, tmp_path, lost):
    shutil.copytree(finished, tmp_path / finished.name)
    (tmp_path / finished.name / lost).unlink()
    assert draw(gather(tmp_path).sections[0]).wrong == {}

"""Files of predictions: their names, formats and shards, failures among them, and kills."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from blobs import BlobDetector, write_scenes
from pycocotools.coco import COCO

from mmvmlp.inference.prediction_files import (
    PredictionOptions,
    drawing_names,
    predict_files,
)
from mmvmlp.inference.sources import ImageReference, find_sources


def references(files):
    return [ImageReference(str(file)) for file in files]


def run(files, out_dir, predictor=None, reports=None, **options):
    return predict_files(
        predictor or BlobDetector(),
        references(files),
        out_dir,
        PredictionOptions(**options),
        progress=False,
        report=[].append if reports is None else reports.append,
    )


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        (['x/1.jpg', 'x/2.jpg'], ['1', '2']),
        (['x/1.jpg', 'y/1.jpg', 'y/2.jpg'], ['x_1', 'y_1', '2']),
        (['x/z/1.jpg', 'y/z/1.jpg'], ['x_z_1', 'y_z_1']),
        (['s3://bucket/1.jpg', 's3://other/1.jpg'], ['bucket_1', 'other_1']),
        (['x/1.jpg', 'x/1.png'], None),
        (['x/1.jpg', 'y/1.jpg', 'z/x_1.jpg'], None),
        (['x/a.jpg', 'x/A.jpg'], None),
        (['é' * 125 + '1.jpg', 'é' * 125 + '2.jpg'], None),
        (['x/1.jpg', 'x/1.png', 'x/1_1.png'], None),
    ],
)
def test_drawings_have_different_names(images, expected):
    names = drawing_names(images)
    assert len({name.casefold() for name in names}) == len(images)
    assert all('/' not in name and len(f'{name}.jpg'.encode()) < 256 for name in names)
    if expected:
        assert names == expected


def test_an_image_is_never_replaced_by_its_drawing(tmp_path):
    image = tmp_path / 'a.jpg'
    assert cv2.imwrite(str(image), np.zeros((20, 30, 3), np.uint8))
    before = image.read_bytes()
    with pytest.raises(ValueError, match=r'would replace it'):
        run([image], tmp_path)
    assert image.read_bytes() == before


def test_batches_have_one_size_and_give_the_same_files(tmp_path):
    files = write_scenes(tmp_path / 'in', 13)
    predictor = BlobDetector()
    run(files, tmp_path / 'one', format='coco')
    run(files, tmp_path / 'four', predictor, format='coco', batch_size=4, workers=3)
    assert max(predictor.batches) == 4
    assert contents_of(tmp_path / 'one') == contents_of(tmp_path / 'four')


@pytest.fixture(scope='module')
def coco_results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('coco')
    files = write_scenes(folder / 'in', 7)
    run(files, folder / 'out', format='coco', shard_size=3)
    return files, folder / 'out'


def test_pycocotools_loads_results_in_cocos_format(coco_results):
    files, out = coco_results
    paths = []
    for shard in range(3):
        file = out / f'predictions-{shard:05d}-of-00003.json'
        truth = COCO(file.with_suffix('.images.json'))
        found = truth.loadRes(str(file))
        assert [category['name'] for category in truth.loadCats(truth.getCatIds())] == [
            'dark',
            'bright',
        ]
        for image in truth.loadImgs(truth.getImgIds()):
            paths.append(image['file_name'])
            pixels = cv2.imread(image['file_name'])
            assert pixels.shape[:2] == (image['height'], image['width'])
            instances = found.loadAnns(found.getAnnIds(image['id']))
            assert len(instances) == files.index(Path(image['file_name'])) % 4 + 1
            for instance in instances:
                left, top, width, height = map(int, instance['bbox'])
                assert (pixels[top : top + height, left : left + width] > 30).all()
                assert found.annToMask(instance).sum() == width * height
    assert paths == list(map(str, files))


def test_ids_are_those_of_an_annotation_file(tmp_path, coco_results):
    files, _ = coco_results
    annotations = {
        'images': [
            {'id': 1000 + index, 'file_name': file.name} for index, file in enumerate(files)
        ],
        'categories': [{'id': 7, 'name': 'bright'}, {'id': 3, 'name': 'dark'}],
    }
    file = tmp_path / 'annotations.json'
    file.write_text(json.dumps(annotations))
    run(files, tmp_path / 'out', format='coco', annotations=file)
    found = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert {each['image_id'] for each in found} == {1000 + index for index in range(7)}
    assert {(each['category_id'], each['score'] > 0.5) for each in found} == {(7, True), (3, False)}
    annotations['images'].pop()
    file.write_text(json.dumps(annotations))
    with pytest.raises(ValueError, match='annotations.* have no image .*006'):
        run(files, tmp_path / 'other', format='coco', annotations=file)
    assert not (tmp_path / 'other').exists()


def test_a_parquet_table_has_a_row_for_each_image(tmp_path):
    import pyarrow.parquet as pq

    files = [*write_scenes(tmp_path / 'in', 5), tmp_path / 'missing.png']
    summary = run(files, tmp_path / 'out', format='parquet')
    assert (summary.predicted, summary.failed) == (5, 1)
    table = pq.read_table(tmp_path / 'out/predictions.parquet')
    rows = table.to_pylist()
    assert [row['path'] for row in rows] == list(map(str, files))
    assert 'cannot be read' in rows.pop()['error']
    run(files, tmp_path / 'json')
    records = json.loads((tmp_path / 'json/predictions.json').read_text())['images']
    for row, record in zip(rows, records, strict=True):
        assert (row['width'], row['height']) == (record['width'], record['height'])
        assert row['labels'] == [each['label'] for each in record['detections']]
        assert row['masks'] == [each['mask'] for each in record['detections']]
        np.testing.assert_allclose(row['boxes'], [each['box'] for each in record['detections']])
    assert json.loads(table.schema.metadata[b'mmvmlp'])['class_names'] == ['dark', 'bright']


def test_bad_images_are_listed_and_do_not_stop_the_others(tmp_path):
    good = write_scenes(tmp_path / 'in', 3)
    thin, loop = tmp_path / 'thin.png', tmp_path / 'loop.png'
    cv2.imwrite(str(thin), np.zeros((1, 10_000, 3), np.uint8))
    loop.symlink_to(loop)
    files = [good[0], thin, good[1], loop, good[2]]
    for again in range(2):
        reports = []
        summary = run(files, tmp_path / 'out', reports=reports, shard_size=2)
        assert (summary.predicted, summary.failed) == (3, 2)
        assert len(reports) == 2
        assert 'thin.png' in reports[0] and '10000 pixels wide and 1 high' in reports[0]
        assert 'loop.png' in reports[1] and 'symbolic links' in reports[1], again
    shards = [json.loads(file.read_text()) for file in summary.files]
    assert [image['path'] for shard in shards for image in shard['images']] == list(map(str, good))
    failures = [failure for shard in shards for failure in shard.get('failures', [])]
    assert [failure['path'] for failure in failures] == [str(thin), str(loop)]


KILLED = """
import sys
from pathlib import Path
from blobs import BlobDetector
from mmvmlp.inference.prediction_files import PredictionOptions, predict_files
from mmvmlp.inference.sources import find_sources

predict_files(
    BlobDetector(killed_at=9), find_sources(sys.argv[1:2]), Path(sys.argv[2]),
    PredictionOptions(shard_size=4), progress=False,
)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    write_scenes(tmp_path / 'in', 14)
    arguments = [str(tmp_path / 'in'), str(tmp_path / 'out')]
    killed = subprocess.run(
        [sys.executable, '-c', KILLED, *arguments], env={'PYTHONPATH': '.:tests'}, check=False
    )
    assert killed.returncode == -9
    written = sorted((tmp_path / 'out').glob('*-of-00004.json'))
    assert len(written) == 2
    before = {file: file.stat().st_mtime_ns for file in written}
    predictor = BlobDetector()
    sources = find_sources([str(tmp_path / 'in')])
    options = PredictionOptions(shard_size=4)
    summary = predict_files(predictor, sources, tmp_path / 'out', options, progress=False)
    assert {file: file.stat().st_mtime_ns for file in written} == before
    assert sum(predictor.batches) == 6
    assert (summary.predicted, summary.failed) == (14, 0)
    predict_files(BlobDetector(), sources, tmp_path / 'whole', options, progress=False)
    assert contents_of(tmp_path / 'out') == contents_of(tmp_path / 'whole')


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'format': 'parquet'}, "format was 'coco' and is 'parquet'"),
        ({'format': 'coco', 'shard_size': 2}, 'shard_size was 1000 and is 2'),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(tmp_path, options, expected):
    files = write_scenes(tmp_path / 'in', 2)
    run(files, tmp_path / 'out', format='coco')
    before = contents_of(tmp_path / 'out')
    with pytest.raises(ValueError, match=expected):
        run(files, tmp_path / 'out', **options)
    with pytest.raises(ValueError, match='images was 2 and is 1'):
        run(files[:1], tmp_path / 'out', format='coco')
    assert contents_of(tmp_path / 'out') == before


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'format': 'png'}, "format='png' is of no use for detection; accepted are drawings, coco"),
        ({'format': 'xml'}, "format='xml': accepted are"),
        ({'batch_size': 0}, 'batch_size=0: at least 1'),
        ({'shard_size': -1}, 'shard_size=-1: at least 1'),
        ({'annotations': Path('a.json')}, 'ids are for format coco, not drawings'),
    ],
)
def test_bad_options_are_named(tmp_path, options, expected):
    with pytest.raises(ValueError, match=expected):
        run(write_scenes(tmp_path / 'in', 1), tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists()


def test_a_failure_of_the_model_leaves_whole_drawings_and_no_json(tmp_path):
    files = write_scenes(tmp_path / 'in', 3)

    class Failing(BlobDetector):
        def predict(self, samples):
            if len(self.batches) == 2:
                raise RuntimeError('out of memory')
            return super().predict(samples)

    with pytest.raises(RuntimeError, match='out of memory'):
        run(files, tmp_path / 'out', Failing())
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['predictions.settings.json']

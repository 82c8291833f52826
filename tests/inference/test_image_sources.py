"""Lists, Parquet tables and object stores name images."""

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blobs import write_scenes
from moto.server import ThreadedMotoServer

from mmvmlp.datasets.loading import ImageReadError, decode_image
from mmvmlp.inference import sources
from mmvmlp.inference.sources import find_sources, read_contents


def names_of(references):
    return [reference.name for reference in references]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'), 5)


def test_a_list_has_a_path_a_line(tmp_path, scenes):
    file = tmp_path / 'list.txt'
    file.write_text(f'{scenes[1]}\n\n{scenes[0]}\n{scenes[1]}\nmissing.jpg\n')
    expected = [str(scenes[1]), str(scenes[0]), 'missing.jpg']
    assert names_of(find_sources([str(file)])) == expected
    link = tmp_path / 'link.png'
    link.symlink_to(scenes[0])
    assert names_of(find_sources([str(file), str(scenes[0].parent), str(link)])) == [
        *expected,
        *map(str, scenes[2:]),
    ]
    file.write_text('\n')
    with pytest.raises(FileNotFoundError, match=r"list\.txt': there is no path in it"):
        find_sources([str(file)])
    file.write_bytes(b'\xff\xd8')
    with pytest.raises(ValueError, match=r"list\.txt': text in UTF-8"):
        find_sources([str(file)])


def test_a_table_has_paths(tmp_path, scenes):
    file = tmp_path / 'table.parquet'
    pq.write_table(pa.table({'size': [1] * 5, 'where': list(map(str, scenes))}), file)
    assert names_of(find_sources([str(file)])) == list(map(str, scenes))
    pq.write_table(pa.table({'size': [1] * 5}), file.with_name('other.parquet'))
    with pytest.raises(ValueError, match=r'has the columns size; a column of paths or names must'):
        find_sources([str(file.with_name('other.parquet'))])
    file.with_name('damaged.parquet').write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r'damaged\.parquet. is not a Parquet file, or is damaged'):
        find_sources([str(file.with_name('damaged.parquet'))])


def test_a_table_has_images(tmp_path, scenes, monkeypatch):
    file = tmp_path / 'table.parquet'
    contents = [scene.read_bytes() for scene in scenes]
    contents[3] = None
    table = pa.table({'image': contents, 'note': [''] * 5, 'name': list('abcde')})
    pq.write_table(table, file, row_group_size=2)
    references = find_sources([str(file)])
    assert names_of(references) == list('abcde')
    for index in (4, 0, 1, 2):
        image, _ = decode_image(read_contents(references[index]), 'image')
        np.testing.assert_array_equal(image, cv2.imread(str(scenes[index])))
    with pytest.raises(ImageReadError, match="image 'd' is empty"):
        read_contents(references[3])
    monkeypatch.setattr(sources, 'MAX_ROW_GROUP', 100)
    with pytest.raises(ValueError, match=r'row group 0 has .* smaller row_group_size'):
        find_sources([str(file)])


def test_an_object_store_has_images_below_a_prefix(tmp_path, scenes, monkeypatch):
    for name, value in (
        ('AWS_ACCESS_KEY_ID', 'key'),
        ('AWS_SECRET_ACCESS_KEY', 'secret'),
        ('AWS_DEFAULT_REGION', 'us-east-1'),
    ):
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv('AWS_ENDPOINT_URL', f'http://{host}:{port}')
        store = sources.open_object_store('s3://photos')
        store.mkdir('photos')
        expected = []
        for index, scene in enumerate(scenes):
            expected.append(f's3://photos/{"ab"[index % 2]}/deep/{scene.name}')
            store.put_file(str(scene), expected[-1])
        store.pipe_file('s3://photos/a/notes.json', b'{}')
        store.pipe_file('s3://photos/list.txt', '\n'.join(expected).encode())
        assert names_of(find_sources(['s3://photos/a', 's3://photos'])) == sorted(expected)
        assert names_of(find_sources([expected[3]])) == [expected[3]]
        references = find_sources(['s3://photos/list.txt'])
        assert names_of(references) == expected
        assert read_contents(references[2]) == scenes[2].read_bytes()
        with pytest.raises(OSError, match=r's3://photos/none'):
            find_sources(['s3://photos/none'])
    finally:
        server.stop()

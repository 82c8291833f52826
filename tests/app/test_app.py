"""The app, started on a free port of this machine, and asked as browsers and others would."""

import contextlib
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from http.client import HTTPConnection
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file

from mmvmlp.app.page import served
from mmvmlp.app.uploads import LONGEST_SIDE, MOST_BYTES
from mmvmlp.app.views import point_in, predict, receptive_field, see
from mmvmlp.cli.app import CHECKPOINT, CONFIG, parse_arguments
from mmvmlp.config.loading import load_config
from mmvmlp.inference.predictors import make_predictor

ADDRESS = re.compile(r'https?://[^\s"\'<>\\]+')
DIGITS = Path('demo/digits.jpg')


@pytest.fixture(scope='module')
def detector():
    return make_predictor(load_config(CONFIG), CHECKPOINT, score_threshold=0.5)


@pytest.fixture(scope='module')
def address(detector):
    with served(detector, 'nano') as address:
        yield address


@pytest.fixture(scope='module')
def client(address, tmp_path_factory):
    return Client(address, verbose=False, download_files=tmp_path_factory.mktemp('answers'))


@pytest.fixture(scope='module')
def http(address):
    with httpx.Client(base_url=address, trust_env=False) as client:
        yield client


def png(width, height, *chunks):
    """Return a PNG file that promises so many grey pixels."""
    header = (b'IHDR', struct.pack('>2I5B', width, height, 8, 0, 0, 0, 0))
    parts = (header, *chunks, (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in parts
    )


def test_a_scene_gets_boxes_and_masks(client, detector):
    scene = client.predict(api_name='/new_scene')
    drawing, found = client.predict(handle_file(scene), 0.5, api_name='/find')
    image = cv2.imread(scene)
    detections = detector(image).record['detections']
    assert found.count('<tr>') == 1 + len(detections)
    assert all(f'<td>{each["score"]:.2f}</td>' in found for each in detections)
    drawn = cv2.imread(drawing)
    assert drawn.shape == (2 * image.shape[0], 2 * image.shape[1], 3)
    assert client.predict(api_name='/new_scene') != scene


def test_an_upload_is_drawn_as_predict_draws_it(client, detector):
    drawing, found = client.predict(handle_file(str(DIGITS)), 0.5, api_name='/find')
    outcome = detector(cv2.imread(str(DIGITS)))
    assert len(outcome.record['detections']) >= 3
    np.testing.assert_array_equal(cv2.imread(drawing)[..., ::-1], outcome.drawing)
    _, fewer = client.predict(handle_file(str(DIGITS)), 1.0, api_name='/find')
    assert fewer.count('<tr>') < found.count('<tr>')


def test_pyramid_and_receptive_fields_are_of_the_image(client):
    maps = client.predict(handle_file(str(DIGITS)), api_name='/unfold')
    assert re.findall(r'Level \d, (\d+)×', maps) == ['40', '20', '10', '5']
    assert maps.count('data:image/png') == 4 * 8
    texts = [
        client.predict(handle_file(str(DIGITS)), stage, api_name='/look')[1] for stage in range(4)
    ]
    sides = [int(re.search(r'90 % from one of (\d+)', text)[1]) for text in texts]
    assert sides == sorted(set(sides))


def test_influence_is_around_the_point_that_was_clicked(detector):
    seen = see(detector, cv2.imread(str(DIGITS)))
    assert point_in(seen, 639, 0) == (0.5 / 640, 639.5 / 640)
    plain, text = receptive_field(detector, seen, 0, (0.25, 0.75))
    other, _ = receptive_field(detector, seen, 0, (0.75, 0.25))
    assert 'stage 1' in text
    assert plain.shape == (640, 640, 3)
    for here, there, place in (
        (plain, other, np.s_[140:180, 460:500]),
        (other, plain, np.s_[460:500, 140:180]),
    ):
        assert here[place].mean() > there[place].mean() + 20


def test_nothing_is_shown_without_an_image(client):
    assert client.predict(None, 0.5, api_name='/find')[0] is None
    assert 'Drop an image' in client.predict(None, api_name='/unfold')


@pytest.mark.parametrize(
    ('name', 'contents', 'reason'),
    [
        ('notes.txt', b'not an image', 'is not an image'),
        ('text.png', b'not an image', 'is not an image'),
        ('empty.png', b'', 'is empty'),
        ('cut.jpg', DIGITS.read_bytes()[:4000], 'is truncated'),
        ('large.png', png(8000, 5000), 'at most 25,000,000 pixels'),
        ('thin.png', None, 'nothing to show'),
        ('animation.png', png(8, 8, (b'acTL', b'\0' * 8))[:-1] + b'?', 'damaged animation'),
    ],
)
def test_what_is_no_image_is_refused_with_one_sentence(client, tmp_path, name, contents, reason):
    if contents is None:
        contents = cv2.imencode('.png', np.zeros((1, 900), np.uint8))[1].tobytes()
    file = tmp_path / name
    file.write_bytes(contents)
    drawing, text = client.predict(handle_file(str(file)), 0.5, api_name='/find')
    assert drawing is None
    assert text.count('class="refusal"') == 1
    assert reason in text
    assert '/' not in re.sub(r'</?p\b', '', text)
    assert 'Traceback' not in text


def test_large_images_are_shrunk():
    from mmvmlp.app.uploads import decode_upload

    contents = cv2.imencode('.png', np.zeros((30, 5000, 3), np.uint8))[1].tobytes()
    image, remarks = decode_upload('wide.png', contents)
    assert image.shape[1] == LONGEST_SIDE
    assert '5000×30' in remarks


def upload(http, *files):
    return http.post('gradio_api/upload', files=[('files', file) for file in files])


def test_uploads_are_bounded_and_have_plain_names(http):
    accepted = upload(http, ('digits.jpg', DIGITS.read_bytes()))
    assert accepted.status_code == 200
    assert accepted.json()[0].endswith('/digits.jpg')
    refused = {
        413: [('large.png', bytes(MOST_BYTES + 1))],
        400: [('../../etc/passwd', b'x')],
    }
    for status, files in refused.items():
        answer = upload(http, *files)
        assert answer.status_code == status
        assert len(answer.text) < 100
    assert upload(http, ('..', b'x')).status_code == 400
    assert upload(http, ('..\\x.png', b'x')).status_code == 400
    assert 'One image' in upload(http, ('a.png', b'x'), ('b.png', b'x')).text
    assert 'One image' in http.post('gradio_api/upload', content=b'x').text


def join(http, data, **others):
    return http.post(
        'gradio_api/queue/join', json={'data': data, 'fn_index': 1, 'session_hash': 's', **others}
    )


@pytest.mark.parametrize(
    'path',
    [
        '/etc/passwd',
        '../../etc/passwd',
        'mmvmlp/app/page.py',
        'http://example.com/a.png',
        'a\0b',
        7,
    ],
)
def test_no_other_file_is_opened(http, path):
    image = {'path': path, 'meta': {'_type': 'gradio.FileData'}}
    for answer in (join(http, [image, 0.5]), join(http, [], event_data={'deep': [image]})):
        assert answer.status_code == 403
        assert answer.json() == {'detail': 'Only images that were dropped in here are opened.'}


def test_paths_cannot_leave_the_folder_of_uploads(http):
    (stored,) = upload(http, ('digits.jpg', DIGITS.read_bytes())).json()
    assert http.get(f'gradio_api/file={stored}').content == DIGITS.read_bytes()
    outside = f'{Path(stored).parent}/../../../{DIGITS.resolve()}'
    for path in (
        outside,
        '../../etc/passwd',
        '/etc/passwd',
        'http://example.com/',
        '%2fetc%2fpasswd',
    ):
        # httpx would resolve the dots.
        connection = HTTPConnection('127.0.0.1', http.base_url.port)
        connection.request('GET', f'/gradio_api/file={path}')
        answer = connection.getresponse()
        assert answer.status == 403
        assert b'Only images that were dropped in' in answer.read()
        connection.close()
    link = Path(stored).parent / 'link'
    link.symlink_to(DIGITS.resolve())
    assert http.get(f'gradio_api/file={link}').status_code == 403


def test_only_the_page_is_served(http):
    for path in (
        *('monitoring', 'gradio_api/runs', 'gradio_api/openapi.json', 'gradio_api/deep_link'),
        *('docs', 'gradio_api/dev/reload', 'gradio_api/vibe-code', 'gradio_api/proxy=http://a.b/'),
    ):
        assert http.get(path).status_code == 404
    for path in ('gradio_api/run/find', 'gradio_api/call/find', 'login', 'gradio_api/vibe-edit'):
        assert http.post(path, json={}).status_code == 404
    assert join(http, ['x' * 1_000_001]).status_code == 413
    assert http.post('gradio_api/queue/join', content=b'{').status_code == 400


def test_the_page_names_no_other_host_and_no_path(http, address):
    page = http.get('/')
    assert page.status_code == 200
    assert 'gradio_config' in page.text
    assert {
        each for each in ADDRESS.findall(page.text) if not each.startswith(address[:-1])
    } == set()
    assert not re.search(r'/(tmp|home|root|usr)/', page.text)
    assert str(Path.cwd()) not in page.text
    policy = page.headers['content-security-policy']
    assert "default-src 'self'" in policy
    assert not ADDRESS.search(policy)
    assert not re.search(r'@import|url\(.?(https?:)?//', http.get('theme.css').text)


def test_it_listens_on_this_machine_only_by_default(address, monkeypatch):
    assert address.startswith('http://127.0.0.1:')
    monkeypatch.setattr(sys, 'argv', ['mmvmlp app'])
    assert parse_arguments().host == '127.0.0.1'


def test_a_port_that_is_taken_is_named(detector, address):
    port = int(address.rstrip('/').rpartition(':')[2])
    with pytest.raises(OSError, match=f'port={port}'), served(detector, 'nano', port=port):
        pass


def test_uploads_are_removed_at_the_end(detector, monkeypatch):
    monkeypatch.setenv('HTTP_PROXY', 'http://127.0.0.1:9')
    with (
        served(detector, 'nano') as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        (stored,) = upload(client, ('digits.jpg', DIGITS.read_bytes())).json()
        assert Path(stored).is_file()
    assert not Path(stored).parents[1].exists()


def test_the_command_serves_until_it_is_interrupted(run):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    page = f'http://127.0.0.1:{port}/'

    def interrupt():
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(page, trust_env=False).status_code == 200:
                    break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    visitor = threading.Thread(target=interrupt, daemon=True)
    visitor.start()
    try:
        printed = run('tools/app.py', '--port', port)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    visitor.join()
    assert f'mask_rcnn_hire_mlp_nano_digits is shown at {page}' in printed


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (['--config', CONFIG], 'belong together'),
        (
            ['--config', 'missing.py', '--checkpoint', str(CHECKPOINT)],
            "'missing.py' does not exist",
        ),
        (['--score-threshold', '2'], 'score_threshold=2.0'),
        (['--host', '203.0.113.1'], "host='203.0.113.1'"),
    ],
)
def test_bad_arguments_are_one_clear_error(run, given, message):
    expected = 2 if 'belong' in message else 1
    assert message in run('tools/app.py', *given, expect=expected)


def test_a_missing_gradio_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    monkeypatch.delitem(sys.modules, 'mmvmlp.app.page')
    printed = run('tools/app.py', expect=1)
    assert 'gradio is not installed; it comes with: pip install "mmvmlp[app]"' in printed


@pytest.mark.parametrize(
    ('task', 'record', 'rows'),
    [
        (
            'segmentation',
            {'classes': [{'class_name': 'sky', 'pixels': 1}, {'class_name': 'sea', 'pixels': 3}]},
            [('sea', '75.0%'), ('sky', '25.0%')],
        ),
        ('classification', {'classes': [{'class_name': 'cat', 'score': 0.9}]}, [('cat', '0.900')]),
    ],
)
def test_tables_of_other_tasks(detector, monkeypatch, task, record, rows):
    class Other(type(detector)):
        def __init__(self):
            self.task = task

        def __call__(self, image):
            return type('Outcome', (), {'record': record, 'drawing': image})

    assert predict(Other(), np.zeros((2, 2, 3), np.uint8), 0.5)[2] == rows

"""Images, annotations and checkpoints in an S3-compatible store: moto, in this process."""

import logging
import sys

import pytest
from mmengine import fileio
from moto.server import ThreadedMotoServer
from torch.utils.data import DataLoader

from mmvmlp.checkpoints import CheckpointError, read_checkpoint
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.datasets.loading import ImageReadError, read_image
from mmvmlp.datasets.object_store import ObjectStoreError, open_object_store

CONFIG = 'configs/mask_rcnn_hire_mlp_nano_digits.py'
UNREACHABLE = 'http://127.0.0.1:9'


@pytest.fixture(scope='module')
def endpoint():
    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0)
    server.start()
    logging.getLogger('werkzeug').setLevel(logging.ERROR)
    host, port = server.get_host_and_port()
    yield f'http://{host}:{port}'
    server.stop()


@pytest.fixture(autouse=True)
def bucket(endpoint, monkeypatch):
    """Set what users set in their shell, and return an empty bucket."""
    for name, value in {
        'AWS_ENDPOINT_URL': endpoint,
        'AWS_ACCESS_KEY_ID': 'somebody',
        'AWS_SECRET_ACCESS_KEY': 'secret',
        'AWS_DEFAULT_REGION': 'us-east-1',
        'AWS_MAX_ATTEMPTS': '1',
    }.items():
        monkeypatch.setenv(name, value)
    store = open_object_store('s3://bucket')
    # Clients remember the endpoint with which they began.
    store.clear_instance_cache()
    store = open_object_store('s3://bucket')
    if store.exists('s3://bucket'):
        store.rm('s3://bucket', recursive=True)
    store.mkdir('s3://bucket')
    return 's3://bucket'


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stored') / 'digits'
    return make_digit_scenes(folder, 'coco', train=4, val=2, size=64, progress=False)


def test_mmengine_reads_and_writes_addresses_like_paths(bucket, tmp_path):
    for name in ('a.txt', 'sub/b.jpg', 'sub/deeper/c.txt', '.hidden'):
        fileio.put_text(name, f'{bucket}/folder/{name}')
        fileio.put_text(name, (tmp_path / 'folder' / name).as_posix())
    for backend_args in (None, {'backend': 's3'}):
        assert fileio.get(f'{bucket}/folder/sub/b.jpg', backend_args) == b'sub/b.jpg'
    for path in ('folder', 'folder/', 'folder/sub', 'folder/a.txt', 'folder/a', 'none'):
        for question in (fileio.exists, fileio.isfile, fileio.isdir):
            assert question(f'{bucket}/{path}') == question(f'{tmp_path}/{path}'), (path, question)
    for options in (
        {},
        {'recursive': True},
        {'recursive': True, 'list_dir': False, 'suffix': '.txt'},
        {'list_file': False},
    ):
        listed = [
            set(fileio.list_dir_or_file(f'{at}/folder', **options)) for at in (bucket, tmp_path)
        ]
        assert listed[0] == listed[1]
    assert fileio.join_path(f'{bucket}/', 'folder', 'a.txt') == f'{bucket}/folder/a.txt'
    with fileio.get_local_path(f'{bucket}/folder/sub/b.jpg') as file:
        assert file.endswith('.jpg') and open(file).read() == 'sub/b.jpg'
    fileio.remove(f'{bucket}/folder/a.txt')
    assert not fileio.exists(f'{bucket}/folder/a.txt')
    fileio.rmtree(f'{bucket}/folder')
    assert not fileio.exists(f'{bucket}/folder')


@pytest.mark.parametrize(
    ('address', 'options', 'reason'),
    [
        ('s3://bucket/none', {}, "'s3://bucket/none' does not exist"),
        ('s3://no-bucket/none', {}, "'s3://no-bucket/none' does not exist"),
        ('s3://bucket/none', {'endpoint_url': UNREACHABLE}, 'Could not connect .*127.0.0.1:9'),
        ('s3://bucket/none', {'endpoint_url': 'somewhere'}, 'Invalid endpoint: somewhere'),
        ('s3://bucket/none', {'endpoind': 'x'}, "unexpected keyword argument 'endpoind'"),
    ],
)
def test_each_failure_is_one_error_that_names_the_address(address, options, reason):
    with pytest.raises(ObjectStoreError, match=reason) as failed:
        fileio.get(address, {'backend': 's3', **options})
    assert '\n' not in str(failed.value)
    # It is no folder without files, either.
    with pytest.raises(ObjectStoreError, match=reason):
        list(fileio.list_dir_or_file(address, backend_args={'backend': 's3', **options}))
    with pytest.raises(ImageReadError, match=f"image '{address}' cannot be read: .*{reason}"):
        read_image_from(address, options)


def read_image_from(address, options):
    return fileio.get(address, {'backend': 'mmvmlp', 'storage': {'backend': 's3', **options}})


def test_an_address_without_bucket_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(ValueError, match=r"address 's3://': s3://BUCKET/KEY is accepted"):
        open_object_store('s3://')
    monkeypatch.setitem(sys.modules, 's3fs', None)
    with pytest.raises(ImportError, match=r'pip install "mmvmlp\[storage\]"'):
        fileio.get('s3://bucket/a.jpg')


class StoredFiles:
    def __init__(self, read, paths):
        self.read, self.paths = read, paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.read(self.paths[index])


def as_read(contents):
    return contents


def read_by_workers(read, paths):
    files = StoredFiles(read, paths)
    context = {'multiprocessing_context': 'fork', 'timeout': 60}
    return list(DataLoader(files, batch_size=None, num_workers=2, collate_fn=as_read, **context))


def test_worker_processes_read_also_after_this_process_has_read(bucket, digits, capsys):
    images = sorted((digits / 'train2017').iterdir())
    paths = [f'{bucket}/{image.name}' for image in images]
    for image, path in zip(images, paths, strict=True):
        fileio.put(image.read_bytes(), path)
    expected = [image.read_bytes() for image in images]
    assert [fileio.get(path) for path in paths] == expected
    assert read_by_workers(fileio.get, paths) == expected
    for read, kind in ((fileio.get, ''), (read_image, 'image ')):
        with pytest.raises(SystemExit), one_clear_error():
            read_by_workers(read, [*paths, f'{bucket}/none.jpg'])
        printed = capsys.readouterr().err
        assert printed.startswith(f"error: {kind}'{bucket}/none.jpg' ")
        assert printed.endswith('does not exist\n') and printed.count('\n') == 1


@pytest.mark.slow
def test_training_reads_and_writes_a_store_and_resumes_from_it(run, bucket, digits, tmp_path):
    store = open_object_store(bucket)
    store.put(str(digits), f'{bucket}/digits', recursive=True)
    command = [
        *('tools/train.py', CONFIG, '--data-root', f'{bucket}/digits'),
        *('--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=2'),
        *('train_dataloader.num_workers=2', 'param_scheduler.1.end=1', 'train_cfg.val_interval=1'),
        f'default_hooks.checkpoint.out_dir={bucket}/runs',
    ]
    run(*command, '--work-dir', tmp_path / 'first')
    saved = f'{bucket}/runs/first/epoch_1.pth'
    assert (tmp_path / 'first' / 'last_checkpoint').read_text() == saved
    with fileio.get_local_path(saved) as file:
        assert read_checkpoint(file)['meta']['iter'] == 2
    command[5] = 'train_cfg.max_epochs=2'
    printed = run(
        *command, 'train_cfg.val_interval=9', '--work-dir', tmp_path / 'first', '--resume'
    )
    assert 'resumed epoch: 1, iter: 2' in printed
    assert fileio.exists(f'{bucket}/runs/first/epoch_2.pth')
    missing = run(*command[:3], f'{bucket}/none', '--work-dir', tmp_path / 'none', expect=1)
    assert f"error: data set folder '{bucket}/none/': does not exist; missing are" in missing
    assert 'Traceback' not in missing
    missing = run(
        *(*command, f'load_from={bucket}/none.pth', '--work-dir', tmp_path / 'none'), expect=1
    )
    assert f"error: checkpoint '{bucket}/none.pth' does not exist" in missing


def test_a_stored_checkpoint_is_read_with_the_same_checks(bucket, tmp_path):
    from mmengine.runner import CheckpointLoader

    fileio.put(b'no checkpoint', f'{bucket}/weights.pth')
    with pytest.raises(CheckpointError, match='weights|cannot be read'):
        CheckpointLoader.load_checkpoint(f'{bucket}/weights.pth')

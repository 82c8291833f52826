"""Folders of published models: load them, from the Hugging Face Hub too, and upload them."""

from pathlib import Path

from mmengine.model import BaseModel

from mmvmlp.checkpoints import CheckpointError
from mmvmlp.checkpoints.published import sha256_of
from mmvmlp.checkpoints.verification import HASH_IN_NAME, hash_problems, known_hashes
from mmvmlp.hub.literal_config import read_literal_config
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.optional_packages import import_optional

CONFIG, CARD = 'config.py', 'README.md'


def from_pretrained(
    source: str | Path, *, device: str = 'cpu', revision: str | None = None
) -> BaseModel:
    """Load a published model, ready to predict; nothing in its folder is run.

    Args:
        source: A folder that ``mmvmlp publish`` wrote, or a repository on the Hugging Face Hub,
            ``'OWNER/NAME'``, with such files.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.
        revision: Branch, tag or commit of the repository.

    Returns:
        The model, with ``cfg`` and ``dataset_meta`` as the toolboxes' inference functions expect.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the weights are damaged or of another model.
        ImportError: If the source is a repository and huggingface_hub is not installed.
        ValueError: If the config holds more than values and registered types.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = _downloaded(str(source), revision)
    elif revision is not None:
        raise ValueError(f'revision={revision!r}: a folder has none')
    return load_trained_model(read_literal_config(folder / CONFIG), weights_of(folder), device)


def push_to_hub(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Upload a published model to the Hugging Face Hub, as the user who is logged in there.

    Args:
        folder: A folder that ``mmvmlp publish`` wrote.
        repository: ``'OWNER/NAME'``; it is created if it does not exist.
        private: True to create a private repository.

    Returns:
        Address of the commit.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the weights are damaged.
        ImportError: If huggingface_hub is not installed.
    """
    folder = Path(folder).expanduser()
    names = [CARD, CONFIG, weights_of(folder).name]
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f'folder {str(folder)!r} has no {name}')
    api = import_optional('huggingface_hub', 'hub').HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repository, folder_path=folder, allow_patterns=names, commit_message='Upload model'
    )
    return str(commit)


def weights_of(folder: Path) -> Path:
    """Return the file of weights in a folder; its hash must be the one in its name.

    Raises:
        FileNotFoundError: If there is no file of weights, or more than one.
        CheckpointError: If it is damaged.
    """
    files = sorted(folder.glob('*.safetensors'))
    if len(files) != 1:
        raise FileNotFoundError(
            f'folder {str(folder)!r} has {len(files)} files *.safetensors; one is accepted'
        )
    problems = hash_problems(sha256_of(files[0]), known_hashes(files[0]))
    if not HASH_IN_NAME.search(files[0].name):
        problems.append('its name has no digits of its SHA-256')
    if problems:
        raise CheckpointError(f'checkpoint {str(files[0])!r}: {"; ".join(problems)}')
    return files[0]


def _downloaded(repository: str, revision: str | None) -> Path:
    if len(repository.split('/')) != 2 or not all(repository.split('/')):
        raise FileNotFoundError(
            f'source={repository!r}: a folder, or a repository OWNER/NAME, is accepted'
        )
    download = import_optional('huggingface_hub', 'hub').snapshot_download
    patterns = [CONFIG, '*.safetensors']
    return Path(download(repository, revision=revision, allow_patterns=patterns))

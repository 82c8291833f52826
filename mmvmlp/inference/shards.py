"""Shards of predictions: which are there already, and which images the others have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvmlp.inference.chunks import Chunk
from mmvmlp.inference.sources import ImageReference
from mmvmlp.output_files import write_atomically

STEM = 'predictions'
SETTINGS_NAME = 'predictions.settings.json'


@dataclass(frozen=True)
class Shards:
    """The files into which the predictions of many images are divided.

    Attributes:
        folder: Where they are.
        references: All images.
        size: Number of images in each but the last.
        suffix: Of the files.
    """

    folder: Path
    references: Sequence[ImageReference]
    size: int
    suffix: str

    @property
    def count(self) -> int:
        """The number of shards."""
        return -(-len(self.references) // self.size)

    def file(self, shard: int) -> Path:
        """Return the file of a shard; a single one has no number."""
        number = f'-{shard:05d}-of-{self.count:05d}' if self.count > 1 else ''
        return self.folder / f'{STEM}{number}{self.suffix}'

    def images_in(self, shard: int) -> int:
        """Return the number of images of a shard."""
        return min(self.size, len(self.references) - shard * self.size)

    def missing(self) -> list[int]:
        """List the shards that are not written yet."""
        return [shard for shard in range(self.count) if not self.file(shard).exists()]

    def chunks(self, missing: Sequence[int], size: int) -> Iterator[Chunk]:
        """Divide shards into chunks of consecutive images.

        Args:
            missing: The shards.
            size: Number of images in a chunk, of which the last in a shard may have fewer.
        """
        for shard in missing:
            end = shard * self.size + self.images_in(shard)
            for first in range(shard * self.size, end, size):
                last = min(first + size, end)
                yield Chunk(shard, first, tuple(self.references[first:last]))


def start_or_continue(
    folder: Path, settings: Mapping[str, Any], references: Sequence[ImageReference]
) -> None:
    """Make the folder of a run, or check that it is the folder of one with the same settings.

    Args:
        folder: Where predictions are written.
        settings: Everything that predictions depend on, for JSON.
        references: The images.

    Raises:
        ValueError: If the folder has predictions of another run.
    """
    digest = hashlib.sha256()
    for reference in references:
        digest.update(repr(tuple(reference)).encode(errors='surrogateescape'))
    settings = {**settings, 'images': len(references), 'images_sha256': digest.hexdigest()}
    settings = json.loads(json.dumps(settings))
    file = folder / SETTINGS_NAME
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(settings, indent=1).encode())
        return
    try:
        there = json.loads(file.read_bytes())
    except ValueError:
        there = None
    if not isinstance(there, dict):
        raise ValueError(f'{str(file)!r} is not a file of settings; name another folder')
    changed = [
        f'{key} was {there.get(key)!r} and is {settings.get(key)!r}'
        for key in dict.fromkeys([*there, *settings])
        if there.get(key) != settings.get(key)
    ]
    if changed:
        raise ValueError(
            f'out_dir={str(folder)!r} has predictions of another run: {"; ".join(changed)}. Name '
            'another folder, or delete it'
        )

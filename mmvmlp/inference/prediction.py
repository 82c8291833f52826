"""Predictions of a trained model on image files: pictures and one JSON file.

The toolboxes' own inference functions predict; a detector, a segmentor and a classifier only
differ in what is kept of their results and drawn.
"""

from __future__ import annotations

import glob
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from rich.progress import track

from mmvmlp.checkpoints import check_trained_checkpoint, extract_state_dict, read_checkpoint
from mmvmlp.datasets.loading import read_image
from mmvmlp.output_files import write_atomically
from mmvmlp.visualization.drawing import (
    Instances,
    Picture,
    class_name,
    draw_class_map,
    draw_instances,
    draw_lines_of_text,
    enlargement,
    save_picture,
)

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
"""What counts as an image in a folder; a file that is named is one whatever it ends with."""

JSON_NAME = 'predictions.json'
BEST_CLASSES = 5


def find_images(names: Sequence[str]) -> list[Path]:
    """Find the images that files, folders and patterns name.

    Args:
        names: Files; folders, of which the images directly in them are taken; patterns with
            ``*``, ``?``, ``[...]`` and ``**`` for folders below folders.

    Returns:
        The files, each once, those of a folder or a pattern in the order of their names.

    Raises:
        FileNotFoundError: If a file or folder is missing, or a folder or pattern has no image.
    """
    found: dict[Path, Path] = {}
    for name in names:
        for path in _images_named(name):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _images_named(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        images = _images_among(path.iterdir())
        if not images:
            raise FileNotFoundError(
                f'folder {name!r}: there is no image in it ({", ".join(IMAGE_SUFFIXES)}); '
                'folders below it are not searched'
            )
        return images
    if path.is_file():
        return [path]
    if glob.has_magic(name):
        images = _images_among(Path(match) for match in glob.glob(name, recursive=True))
        if not images:
            raise FileNotFoundError(f'pattern {name!r}: no image matches it')
        return images
    raise FileNotFoundError(f'image {name!r}: there is no such file or folder')


def _images_among(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)


def load_trained_model(config: Config, checkpoint: str | Path, device: str) -> BaseModel:
    """Build the model of a config with the weights of a checkpoint, ready to predict.

    The toolboxes' own functions for that unpickle whatever a file holds, and go on with a part
    of the weights.

    Args:
        config: As the toolbox's ``test.py`` takes it.
        checkpoint: Of the whole model, as training writes it.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.

    Returns:
        The model, with ``cfg`` and ``dataset_meta`` as the toolboxes' inference functions expect.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        CheckpointError: If it cannot be read or is of another model.
        ValueError: If the device is not there.
    """
    _check_device(device)
    contents = read_checkpoint(checkpoint)
    init_default_scope(config.get('default_scope') or 'mmengine')
    # As the runner does: mmpretrain's configs have it beside the model.
    config.model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    model = revert_sync_batchnorm(MODELS.build(config.model))
    check_trained_checkpoint(model, contents, checkpoint)
    model.load_state_dict(extract_state_dict(contents))
    model.cfg = config
    model.dataset_meta = _dataset_meta(config, contents.get('meta') or {})
    # mmpretrain's names of the same two.
    model._config, model._dataset_meta = model.cfg, model.dataset_meta
    model.to(device)
    model.eval()
    return model


def _check_device(device: str) -> None:
    if not re.fullmatch(r'cpu|cuda(:\d+)?', device):
        raise ValueError(f"device={device!r}: 'cpu', 'cuda' and 'cuda:N' are accepted")
    number = int(device.partition(':')[2] or 0)
    if device != 'cpu' and number >= torch.cuda.device_count():
        raise ValueError(f'device={device!r}: PyTorch sees {torch.cuda.device_count()} GPUs here')


def _dataset_meta(config: Config, checkpoint_meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class names and colours with which a model was trained.

    The checkpoint knows best; after it come the config's test data and its data set's own names.
    """
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    dataset_type = DATASETS.get(dataset['type']) if isinstance(dataset.get('type'), str) else None
    merged: dict[str, Any] = {}
    for source in (
        getattr(dataset_type, 'METAINFO', None),
        dataset.get('metainfo'),
        checkpoint_meta.get('dataset_meta'),
    ):
        named = {str(key).lower(): value for key, value in (source or {}).items()}
        # Colours belong to the classes they come with.
        if 'classes' in named:
            merged.pop('palette', None)
        merged.update(named)
    # A file that the config names; the reader refuses one that a checkpoint names.
    if isinstance(merged.get('classes'), str):
        merged['classes'] = Path(merged['classes']).read_text(encoding='utf-8').splitlines()
    return merged


@dataclass(frozen=True)
class Outcome:
    """What a model finds in one image.

    Attributes:
        record: For the JSON file.
        picture: For the eyes.
        index_map: A segmentor's class index of every pixel, shape (H, W).
    """

    record: dict[str, Any]
    picture: Picture
    index_map: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None


class Predictor(Protocol):
    """Predicts on one image at a time."""

    task: str
    """What the model does, for the JSON file."""

    def __call__(self, image: Picture) -> Outcome:
        """Predict.

        Args:
            image: Shape (H, W, 3), in BGR, as the toolboxes read images.
        """
        ...


class DetectionPredictor:
    """Boxes, and masks if the detector has them, through mmdet's inference.

    Args:
        model: From :func:`load_trained_model`.
        score_threshold: Instances with a lower score are left out.
    """

    task = 'detection'

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        from mmcv.transforms import Compose
        from mmdet.utils import get_test_pipeline_cfg

        self.model = model
        self.class_names = _class_names(model)
        self.score_threshold = score_threshold
        pipeline = get_test_pipeline_cfg(model.cfg.copy())
        pipeline[0].type = 'mmdet.LoadImageFromNDArray'
        self.pipeline = Compose(
            [step for step in pipeline if not step['type'].endswith('LoadAnnotations')]
        )

    def find(self, image: Picture) -> Instances:
        """Return the instances in an image of shape (H, W, 3), in BGR, the surest first."""
        from mmdet.apis import inference_detector

        found = inference_detector(self.model, image, self.pipeline).pred_instances.cpu().numpy()
        instances = Instances(
            boxes=found.bboxes.astype(np.float32).reshape(-1, 4),
            labels=found.labels.astype(np.int64),
            scores=found.scores.astype(np.float32),
            masks=found.masks.astype(bool) if 'masks' in found else None,
        )
        return instances.above(self.score_threshold)

    def __call__(self, image: Picture) -> Outcome:
        instances = self.find(image)
        picture = draw_instances(_rgb(image), instances, self.class_names, enlargement(image.shape))
        return Outcome({'detections': self._records(instances)}, picture)

    def _records(self, instances: Instances) -> list[dict[str, Any]]:
        records = []
        for index, label in enumerate(instances.labels):
            record: dict[str, Any] = {
                'label': int(label),
                'class_name': class_name(self.class_names, int(label)),
            }
            if instances.scores is not None:
                record['score'] = round(float(instances.scores[index]), 5)
            record['box'] = [round(float(side), 2) for side in instances.boxes[index]]
            if instances.masks is not None:
                record['mask'] = _run_lengths(instances.masks[index])
            records.append(record)
        return records


class SegmentationPredictor:
    """A class for every pixel, through mmseg's inference.

    Args:
        model: From :func:`load_trained_model`.
        score_threshold: Of no use here.
    """

    task = 'segmentation'

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        self.model = model
        self.class_names = _class_names(model)

    def __call__(self, image: Picture) -> Outcome:
        from mmseg.apis import inference_model

        predicted = inference_model(self.model, image).pred_sem_seg.data[0].cpu().numpy()
        indices = predicted.astype(np.uint8 if predicted.max() < 256 else np.uint16)
        labels, counts = np.unique(indices, return_counts=True)
        classes = [
            {
                'label': int(label),
                'class_name': class_name(self.class_names, int(label)),
                'pixels': int(count),
            }
            for label, count in zip(labels, counts, strict=True)
        ]
        picture = draw_class_map(
            _rgb(image),
            indices,
            self.class_names,
            self.model.dataset_meta.get('palette') or (),
            enlargement(image.shape),
        )
        return Outcome({'classes': classes}, picture, indices)


class ClassificationPredictor:
    """The classes with the best scores, through mmpretrain's inferencer.

    Args:
        model: From :func:`load_trained_model`.
        score_threshold: Of no use here: the best classes are given whatever their scores.
    """

    task = 'classification'

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        from mmpretrain import ImageClassificationInferencer

        self.class_names = _class_names(model)
        self.infer = ImageClassificationInferencer(model)
        self.infer.classes = None

    def __call__(self, image: Picture) -> Outcome:
        scores = self.infer(image)[0]['pred_scores']
        best = np.argsort(-scores, kind='stable')[:BEST_CLASSES]
        classes = [
            {
                'label': int(label),
                'class_name': class_name(self.class_names, int(label)),
                'score': round(float(scores[label]), 5),
            }
            for label in best
        ]
        picture = draw_lines_of_text(
            _rgb(image),
            [f'{entry["score"]:.3f}  {entry["class_name"]}' for entry in classes],
            enlargement(image.shape),
        )
        return Outcome({'classes': classes}, picture)


PREDICTORS: Mapping[str, type[Predictor]] = {
    'mmdet': DetectionPredictor,
    'mmseg': SegmentationPredictor,
    'mmpretrain': ClassificationPredictor,
}


def make_predictor(
    config: Config, checkpoint: str | Path, device: str = 'cpu', score_threshold: float = 0.3
) -> Predictor:
    """Load a trained model of whichever toolbox its config is for.

    Args:
        config: Its ``default_scope`` says which toolbox.
        checkpoint: Of the whole model, as training writes it.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.
        score_threshold: From 0 to 1; a detector's instances with a lower score are left out.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        CheckpointError: If it cannot be read or is of another model.
        ValueError: If another argument is not accepted.
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(f'score_threshold={score_threshold!r}: it must be from 0 to 1')
    toolbox = config.get('default_scope')
    if toolbox not in PREDICTORS:
        raise ValueError(
            f'default_scope={toolbox!r} in {config.filename}: it must name the toolbox, one of '
            f'{", ".join(PREDICTORS)}'
        )
    predictor_type: Any = PREDICTORS[toolbox]
    predictor: Predictor = predictor_type(
        load_trained_model(config, checkpoint, device), score_threshold
    )
    return predictor


def predict_files(
    predictor: Predictor,
    images: Sequence[Path],
    out_dir: Path,
    about: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Predict on image files, and write a picture for each and one JSON file for all.

    Every image is read once before the first prediction, so that a damaged one is known at once.
    The JSON file is written last, with the paths of the pictures relative to it.

    Args:
        predictor: From :func:`make_predictor`.
        images: From :func:`find_images`.
        out_dir: Where to write; it is made.
        about: What the JSON file is to say before the predictions.
        progress: Show a progress bar where there is a terminal to show it on.

    Returns:
        The JSON file.

    Raises:
        ImageReadError: With the path, if a file is not a whole image.
        NotADirectoryError: If there is a file where the folder should be.
        ValueError: If a picture would replace one of the images.
    """
    names = picture_names(images)
    _check_out_dir(out_dir, images, names)
    for file in images:
        read_image(file)
    out_dir.mkdir(parents=True, exist_ok=True)
    records = []
    for file, name in track(
        list(zip(images, names, strict=True)),
        'Predicting',
        disable=not (progress and sys.stdout.isatty()),
    ):
        image = read_image(file)
        outcome = predictor(image)
        save_picture(outcome.picture, out_dir / f'{name}.jpg')
        record = {
            'path': str(file),
            'width': image.shape[1],
            'height': image.shape[0],
            'picture': f'{name}.jpg',
        }
        if outcome.index_map is not None:
            save_picture(outcome.index_map, out_dir / f'{name}.png')
            record['index_map'] = f'{name}.png'
        records.append({**record, **outcome.record})
    contents = {'task': predictor.task, **(about or {}), 'images': records}
    json_file = out_dir / JSON_NAME
    write_atomically(json_file, json.dumps(contents, indent=1).encode())
    return json_file


def picture_names(images: Sequence[Path]) -> list[str]:
    """Name a picture for each image after it, without a suffix, no two alike.

    Images of one name are told apart by the folders they are in, as many as that takes, and by a
    number where that is not enough.
    """
    parts = [file.absolute().with_suffix('').parts[1:] for file in images]
    depths = [1] * len(parts)
    while True:
        names = ['_'.join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        # Some file systems take no notice of capitals.
        counts = Counter(name.casefold() for name in names)
        deeper = [
            index
            for index, name in enumerate(names)
            if counts[name.casefold()] > 1 and depths[index] < len(parts[index])
        ]
        if not deeper:
            break
        for index in deeper:
            depths[index] += 1
    taken = {name for name, count in counts.items() if count == 1}
    for index, name in enumerate(names):
        if counts[name.casefold()] > 1:
            number = 1
            while f'{name}_{number}'.casefold() in taken:
                number += 1
            names[index] = f'{name}_{number}'
            taken.add(names[index].casefold())
    return names


def _check_out_dir(out_dir: Path, images: Sequence[Path], names: Sequence[str]) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise NotADirectoryError(f'out_dir={str(out_dir)!r} is a file, not a folder')
    outputs = {out_dir.resolve() / f'{name}{end}' for name in names for end in ('.jpg', '.png')}
    for file in images:
        if file.resolve() in outputs:
            raise ValueError(
                f'out_dir={str(out_dir)!r}: the picture of {str(file)!r} would replace it; name '
                'another folder'
            )


def _class_names(model: BaseModel) -> list[str]:
    return [str(name) for name in model.dataset_meta.get('classes') or ()]


def _rgb(image: Picture) -> Picture:
    return np.ascontiguousarray(image[..., ::-1])


def _run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask as COCO's compressed run lengths, as text."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode('ascii')}

"""Every block of code on the pages of the documentation works when pasted, in the page's order."""

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from textwrap import dedent

import pytest
from exported import CONFIGS
from from_the_wheel import run_from_the_wheel
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, VISBACKENDS
from pages import blocks_of, pages
from pasted import Terminal, commands_of
from untrained import build, save_published, save_untrained

from mmvmlp.config.loading import load_config

# Commands whose arguments are only parsed: pages, how the command begins, and why.
ONLY_PARSED = (
    ('*', '(export .*; )?make ', 'sets up an environment; make lists what it would do'),
    ('*', 'pip install', 'installs'),
    ('*', 'python -m development.', 'measures and writes pages; see tests/development'),
    ('*', '(OMP_NUM_THREADS=1 )?python -m projects.', 'trains for hours; see tests/projects'),
    ('*', 'python -m pytest', 'tests a network that is not there'),
    ('*', '.venv/bin/pre-commit', 'is not installed'),
    ('*/SKILL.md', 'mmvmlp ', 'README.md runs these commands'),
    ('docs/*', '(NNODES.*)?tools/dist_', 'needs many GPUs; README.md has two processes'),
    ('docs/app.md', 'mmvmlp app', 'is a server'),
    ('docs/benchmarks.md', '(MALLOC.*)?mmvmlp benchmark', 'measures for minutes'),
    ('docs/deployment.md', 'mmvmlp benchmark', 'compiles'),
    ('docs/deployment.md', 'mmvmlp export .*--whole', 'see test_whole_detector.py'),
    ('docs/digit_scenes.md', 'mmvmlp train .*_t_digits', 'docs/pretraining.md runs it'),
    ('docs/install.md', 'mmvmlp doctor', 'docs/quick_start.md runs it'),
    ('docs/long_runs.md', 'mmvmlp check-config', 'README.md runs it'),
    ('docs/long_runs.md', 'tensorboard', 'is a server'),
    ('docs/machines.md', 'mmvmlp train .* s3:', 'needs a store'),
    ('docs/own_data.md', 'mmvmlp train .*in1k', 'README.md loads published weights'),
    ('docs/predicting.md', 'mmvmlp predict .*--ray', 'starts a cluster'),
    ('docs/training.md', 'mmvmlp train', 'README.md and docs/pretraining.md run it'),
    ('docs/weights.md', 'mmvmlp (test|train) .*\\.coco', 'needs a published detector'),
    ('docs/weights.md', 'mmvmlp train .*in1k', 'README.md runs it'),
)
# Programs that take arguments, which another test runs.
RUN_ELSEWHERE = {'docs/deployment.md': '"""Classify images'}  # test_deployment.py

WITHOUT_WARM_UP = 'param_scheduler.0.end=1'
# Images and numbers of RoIs that a test can afford, in the place of COCO's.
SCALES = (
    '"train_dataloader.dataset.pipeline.2.scale=(96,64)" '
    '"val_dataloader.dataset.pipeline.1.scale=(96,64)" '
    '"test_dataloader.dataset.pipeline.1.scale=(96,64)" '
    f'{WITHOUT_WARM_UP} model.train_cfg.rcnn.sampler.num=32 model.test_cfg.rpn.max_per_img=100'
)


@dataclass(frozen=True)
class Page:
    """What a test needs to run the blocks of a page.

    Attributes:
        smaller: What a test can afford, by what the page says.
        before: Commands that make what the page takes for granted.
        weights: Published weights of which files are made, with random numbers.
        untrained: Config by checkpoint that is made of it, with random numbers.
        inherits: Base of a config that says only what differs, by how the block begins.
        made: Files that are there at the end.
        printed: Patterns of what is printed.
        shows_output: True if its blocks of text are what is printed.
        in_checkout: False to run it in an empty folder with the installed wheel.
        slow: True if it takes more than ten seconds.
    """

    smaller: Mapping[str, str] = field(default_factory=dict)
    before: str = ''
    weights: tuple[str, ...] = ()
    untrained: Mapping[str, str] = field(default_factory=dict)
    inherits: Mapping[str, str] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    shows_output: bool = False
    in_checkout: bool = True
    slow: bool = False


PAGES = {
    'README.md': Page(
        smaller={
            '/data/coco': 'coco',
            'configs/mask_rcnn_hire_mlp_s': 'configs/mask_rcnn_hire_mlp_t',
            'work_dirs/mask_rcnn_hire_mlp_s': 'work_dirs/mask_rcnn_hire_mlp_t',
            '--backbone-checkpoint hire_mlp_small.in1k': (
                '--backbone-checkpoint hire_mlp_tiny.in1k '
                f'--cfg-options {SCALES} train_cfg.max_epochs=1'
            ),
            ' 8 ': ' 2 ',
            'epoch_12': 'epoch_1',
            '_t.py --data-root coco\n': f'_t.py --data-root coco --cfg-options {SCALES}\n',
            ' 2 --data-root coco\n': f' 2 --data-root coco --cfg-options {SCALES}\n',
            'photos/': 'coco/val2017',
        },
        before='mmvmlp make-digits coco --categories coco80 --train 4 --val 2 --size 96 128\n',
        weights=('hire_mlp_tiny.in1k',),
        made=('work_dirs/mask_rcnn_hire_mlp_t/predictions/predictions.json',),
        printed=(
            'No errors found',
            'official Hire-MLP',
            r'Epoch\(test\)',
            r'\(1, 128, 60, 80\) FeatureInfo\(channels=128, stride=8\)',
            r'torch\.Size\(\[1, 1000\]\)',
        ),
        slow=True,
    ),
    'CONTRIBUTING.md': Page(made=('configs/upernet_my_network_t.py',)),
    'docs/deployment.md': Page(
        # Tracing takes as long as there are blocks.
        smaller={
            'configs/classify_hire_mlp_s.py work': 'classifier.py work',
            'configs/mask_rcnn_hire_mlp_nano_digits.py': 'detector.py',
            'mmvmlp::mask_rcnn_hire_mlp_nano_digits.py': 'detector.py',
            'demo/mask_rcnn_hire_mlp_nano_digits.safetensors': 'detector.pth',
            'make-digits data/digits\n': 'make-digits data/digits --train 8 --val 2\n',
        },
        before=''.join(
            f"cat > {kind}.py <<'END'\n{dedent(CONFIGS[kind])}END\n"
            for kind in ('classifier', 'detector')
        ),
        untrained={
            'work_dirs/classify_hire_mlp_s/epoch_300.pth': 'classifier.py',
            'detector.pth': 'detector.py',
        },
        slow=True,
    ),
    'docs/digit_scenes.md': Page(
        smaller={
            'data/digits  ': 'data/digits --train 2 --val 2',
            'data/digits\n': 'data/digits --train 2 --val 2\n',
            '--layout ade\n': '--layout ade --train 2 --val 2\n',
            '--train 5000 --val 1000': '--train 2 --val 2',
            'coco80 ': 'coco80 --train 2 --val 2',
            '--train 4000 --val 200': '--train 2 --val 2',
            '--train 20000 --val 1000': '--train 2 --val 2',
            '--train 6000': '--train 4 --val 2',
            'nano_digits.py --data-root data/digits_6000\n': (
                'nano_digits.py --data-root data/digits_6000 --cfg-options train_cfg.max_epochs=1 '
                f'{WITHOUT_WARM_UP} param_scheduler.1.end=1\n'
            ),
        },
    ),
    'docs/inspection.md': Page(
        smaller={
            'hire_mlp_tiny --out-dir': 'hire_mlp_tiny --shape 64 64 --out-dir',
            'data/digits\n': 'data/digits --train 1 --val 2\n',
            'demo/digits.jpg --parts phases': 'demo/digits.jpg --shape 64 64 --parts phases',
        },
        before=(
            'mmvmlp make-digits data/digits_classes --layout imagenet --train 1 --val 10 '
            '--size 32 --digits-per-scene 1 1 --digit-height 0.75 0.95\n'
        ),
        untrained={
            'work_dirs/classify_hire_mlp_t_digits/epoch_2.pth': (
                'configs/classify_hire_mlp_t_digits.py'
            )
        },
        made=tuple(
            f'inspection/{name}/inspection.json'
            for name in (
                'hire_mlp_tiny',
                'detector',
                'resmlp_s12',
                'smlpnet',
                'wave_mlp',
                'classifier',
            )
        ),
        slow=True,
    ),
    'docs/long_runs.md': Page(
        before=(
            'mmvmlp make-digits data/digits --train 4 --val 2\n'
            'mmvmlp train configs/mask_rcnn_hire_mlp_nano_digits.py --work-dir work_dirs/first '
            f'--cfg-options train_cfg.max_epochs=1 {WITHOUT_WARM_UP} param_scheduler.1.end=1\n'
            'for name in second third mask_rcnn_hire_mlp_s; do\n'
            'cp -r work_dirs/first work_dirs/$name\ndone\n'
        ),
        inherits={'visualizer = ': 'mmvmlp::mask_rcnn_hire_mlp_s.py'},
        made=('work_dirs/mask_rcnn_hire_mlp_s/report.html', 'compared.html'),
    ),
    'docs/own_backbone.md': Page(
        smaller={
            '(2, 2, 4, 2)': '(1, 1, 1, 1)',
            '--repetitions 5': '--repetitions 1',
            'make-digits data/digits\n': 'make-digits data/digits --train 8 --val 4 --size 96\n',
            'check-config mask_rcnn_roll_mlp.py\n': (
                f'check-config mask_rcnn_roll_mlp.py --cfg-options {WITHOUT_WARM_UP}\n'
            ),
            'train mask_rcnn_roll_mlp.py\n': (
                f'train mask_rcnn_roll_mlp.py --cfg-options {WITHOUT_WARM_UP} '
                'train_cfg.max_epochs=1 param_scheduler.1.end=1\n'
            ),
            'epoch_4': 'epoch_1',
            'roll_mlp_tiny --parts': 'roll_mlp_tiny --shape 64 64 --parts',
        },
        made=(
            'report.html',
            'roll_mlp.onnx',
            'official.pth',
            'again.pth',
            'inspected/inspection.json',
        ),
        # The stem's patch, and two more along each axis.
        printed=(r'Epoch\(train\) \[1\]\[2/2\]', '(?m)^stage 1, block 1 +12x12 '),
        in_checkout=False,
        slow=True,
    ),
    'docs/own_data.md': Page(
        smaller={
            '(320, 320)': '(96, 96)',
            '(1024, 256)': '(256, 64)',
            '(256, 256)': '(64, 64)',
            'model = dict(\n    roi_head': (
                'model = dict(test_cfg=dict(rpn=dict(max_per_img=100)),\n    roi_head'
            ),
            'sampler.num=64': 'sampler.num=32',
            'max_epochs=16, val_interval=4': 'max_epochs=8, val_interval=8',
            'param_scheduler[1].end = 16': 'param_scheduler[1].end = 8',
            'epoch_16': 'epoch_8',
        },
        made=tuple(
            f'work_dirs/{name}'
            for name in (
                'my_detector/predictions/predictions.json',
                'my_small_detector/predictions/predictions.json',
                'my_small_detector/report.html',
                'my_segmentor/iter_10.pth',
                'my_classifier/epoch_1.pth',
            )
        ),
        slow=True,
    ),
    'docs/predicting.md': Page(
        smaller={'--val 40': '--val 4'},
        made=tuple(
            f'predictions/{name}'
            for name in (
                'drawings/predictions.json',
                'coco/predictions.json',
                'tiles/predictions.json',
            )
        ),
        printed=('Average Precision',),
    ),
    'docs/pretraining.md': Page(
        smaller={
            '--train 20000 --val 1000': '--train 20 --val 10',
            'data/digits\n': 'data/digits --train 8 --val 2\n',
            '--train 4000 --val 200': '--train 8 --val 2',
            '=850': '=2',
        },
        made=(
            'work_dirs/detector_pretrained/epoch_3.pth',
            'work_dirs/segmentor_pretrained/iter_2.pth',
        ),
        # A classifier has a norm behind the last level; a pyramid has one behind each of four, so
        # that three norms of five tensors are new. A detector and a segmentor load it.
        printed=(
            '(?s)'
            + '.*'.join(
                2
                * [
                    r'classifier/epoch_1\.pth[^\n]*: 413 tensors loaded\n +missing [^\n]*: '
                    r'norm0\.weight, [^\n]*15 in all'
                ]
            ),
        ),
        slow=True,
    ),
    'docs/quick_start.md': Page(
        smaller={
            # The wheel is there already.
            'pip install "mmvmlp[demo] @ git+https://github.com/mmvmlp/mmvmlp"\n': '',
            'make-digits data/digits\n': 'make-digits data/digits --train 16 --val 4\n',
            '--work-dir work_dirs/digits\n': (
                '--work-dir work_dirs/digits --cfg-options train_cfg.max_epochs=1 '
                f'{WITHOUT_WARM_UP} param_scheduler.1.end=1\n'
            ),
            'check-config mmvmlp::mask_rcnn_hire_mlp_nano_digits.py\n': (
                'check-config mmvmlp::mask_rcnn_hire_mlp_nano_digits.py '
                f'--cfg-options {WITHOUT_WARM_UP}\n'
            ),
            'epoch_4': 'epoch_1',
        },
        made=('predictions/predictions.json', 'work_dirs/digits/report.html'),
        printed=('Ready to train',),
        shows_output=True,
        in_checkout=False,
        slow=True,
    ),
    'docs/resolution.md': Page(
        smaller={'data/digits\n': 'data/digits --train 1 --val 1\n'},
    ),
    'docs/training.md': Page(
        smaller={
            'hire_mlp_small smlpnet_tiny s2_mlp_deep resmlp_s12 mlp_mixer_s16': 'hire_mlp_tiny',
            'mmvmlp test configs/mask_rcnn_hire_mlp_s.py': (
                'mmvmlp test configs/mask_rcnn_hire_mlp_nano_digits.py'
            ),
            '--config configs/mask_rcnn_hire_mlp_s.py': (
                '--config configs/mask_rcnn_hire_mlp_nano_digits.py'
            ),
        },
        before=(
            'mmvmlp make-digits data/digits --train 1 --val 2\n'
            'cp -r data/digits/val2017 photos\ncp -r photos more\n'
        ),
        untrained={
            'work_dirs/mask_rcnn_hire_mlp_s/epoch_12.pth': (
                'configs/mask_rcnn_hire_mlp_nano_digits.py'
            )
        },
        inherits={
            'model = dict(\n    backbone=dict(init_cfg': 'mmvmlp::mask_rcnn_hire_mlp_s.py',
            'custom_imports = ': 'mmvmlp::classify_resmlp_s12.py',
            'optim_wrapper = ': 'mmvmlp::mask_rcnn_hire_mlp_s.py',
        },
        made=('metrics.json', 'predictions/predictions.json'),
    ),
    'docs/weights.md': Page(
        smaller={
            'verify FILE': 'verify hire_mlp_small.pth',
            'HASH': '$(sha256sum hire_mlp_small.pth | cut -c -64)',
            'CONFIG ': 'configs/mask_rcnn_hire_mlp_nano_digits.py ',
            # Without an account, its arguments only.
            'mmvmlp.push_to_hub(': 'inspect.signature(mmvmlp.push_to_hub).bind(',
        },
        before='mmvmlp make-digits data/digits --train 1 --val 2\n',
        weights=('hire_mlp_small.in1k', 'resmlp_s12.distilled_in1k'),
        untrained={'work_dirs/mine/epoch_12.pth': 'configs/mask_rcnn_hire_mlp_nano_digits.py'},
        made=('resmlp_s12.pth', 'mine/README.md'),
    ),
}


def settings_of(page):
    return PAGES.get(page, Page())


def why_only_parsed(page, command):
    """Return the entry of the list that a command is on, if any."""
    for entry in ONLY_PARSED:
        if fnmatch(page, entry[0]) and re.match(entry[1], ' '.join(command.split())):
            return entry
    return None


def code_of(page):
    """Return the blocks of a page that are code, at the size that a test can afford."""
    blocks = blocks_of(page)
    smaller = settings_of(page).smaller
    texts = [block.text for block in blocks]
    for written, shorter in smaller.items():
        assert any(written in text for text in texts), f'{page} has no {written!r}'
        texts = [text.replace(written, shorter) for text in texts]
    return [
        (block.language, text)
        for block, text in zip(blocks, texts, strict=True)
        if block.language != 'text'
    ]


@pytest.mark.parametrize('page', pages())
def test_blocks_are_fenced_and_name_their_language(page):
    for block in blocks_of(page):
        place = f'{page}, line {block.line}'
        assert block.language in ('sh', 'python', 'text'), place
        if block.language == 'text':
            assert not re.match(r'(mmvmlp|python|pip|make|tools/\S+) ', block.text), place


def test_every_entry_is_of_a_page():
    listed = [
        why_only_parsed(page, command)
        for page in pages()
        for block in blocks_of(page, 'sh')
        for command in commands_of(block.text)
    ]
    assert not set(ONLY_PARSED) - set(listed)
    assert PAGES.keys() <= set(pages())
    beginnings = [*RUN_ELSEWHERE.items()]
    beginnings += [(page, start) for page in PAGES for start in PAGES[page].inherits]
    for page, start in beginnings:
        assert any(block.text.startswith(start) for block in blocks_of(page)), (page, start)


@pytest.mark.parametrize(
    'page',
    [
        pytest.param(page, marks=[pytest.mark.slow] if settings_of(page).slow else [])
        for page in pages()
        if any(block.language != 'text' for block in blocks_of(page))
        and settings_of(page).in_checkout
    ],
)
def test_the_blocks_of_a_page_work(page, tmp_path, run, monkeypatch, capfd):
    settings = settings_of(page)
    weights = tmp_path / 'published'
    for name in settings.weights:
        save_published(name, weights)
    monkeypatch.setenv('MMVMLP_WEIGHTS', str(weights))
    monkeypatch.setenv('PYTHON', sys.executable)
    terminal = Terminal(tmp_path, run, monkeypatch)
    printed = terminal.paste(settings.before)
    for checkpoint, config in settings.untrained.items():
        Path(checkpoint).parent.mkdir(parents=True, exist_ok=True)
        save_untrained(config, checkpoint, classes=list('0123456789'))
    names = {'__name__': '__main__', 'inspect': inspect}
    for language, text in code_of(page):
        if language == 'sh':
            for command in commands_of(text):
                if why_only_parsed(page, command):
                    terminal.parse_command(command)
                else:
                    printed += terminal.run_command(command)
        elif is_config(text):
            check_config(text, settings.inherits, tmp_path)
        else:
            code = compile(text, page, 'exec')
            if not text.startswith(RUN_ELSEWHERE.get(page, '\0')):
                capfd.readouterr()
                exec(code, names)
                printed += ''.join(capfd.readouterr())
    check_results(page, printed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('page', [page for page in PAGES if not settings_of(page).in_checkout])
def test_the_blocks_of_a_page_work_with_the_installed_wheel(page, installed_site, tmp_path):
    pasted = ''.join(
        text if language == 'sh' else f"cat > pasted.py <<'END'\n{text}END\npython pasted.py\n"
        for language, text in code_of(page)
    )
    check_results(page, run_from_the_wheel(pasted, installed_site, tmp_path), tmp_path / 'empty')


def check_results(page, printed, folder):
    settings = settings_of(page)
    assert not re.search('^error: ', printed, re.MULTILINE), printed
    for pattern in settings.printed:
        assert re.search(pattern, printed), f'{pattern}\n{printed}'
    for made in settings.made:
        assert (folder / made).is_file(), made
    if settings.shows_output:
        assert all(block.text in printed for block in blocks_of(page, 'text')), printed


def is_config(text):
    """Return whether Python code only assigns values and dictionaries, as configs do."""
    parsed = ast.parse(text)
    calls = [node.func for node in ast.walk(parsed) if isinstance(node, ast.Call)]
    return all(isinstance(statement, ast.Assign) for statement in parsed.body) and all(
        isinstance(called, ast.Name) and called.id == 'dict' for called in calls
    )


def check_config(text, inherits, folder):
    """Build what a config describes, or check that it exists."""
    for start, base in inherits.items():
        if text.startswith(start):
            text = f'_base_ = {base!r}\n{text}'
    if '_base_' not in text:
        for value in variables_of(text).values():
            for part in value if isinstance(value, list) else [value]:
                MODELS.build(part)
        return
    file = folder / 'pasted_config.py'
    file.write_text(text)
    config = load_config(file)
    model = build(config)
    if 'optim_wrapper' in text:
        build_optim_wrapper(model, config.optim_wrapper)
    if 'custom_hooks' in text:
        for hook in config.custom_hooks:
            HOOKS.build(hook)
    if 'visualizer' in text:
        for backend in config.visualizer.vis_backends:
            assert VISBACKENDS.get(backend.type), backend.type


def variables_of(text):
    variables = {}
    exec(text, variables)
    del variables['__builtins__']
    return variables

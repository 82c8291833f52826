"""docs/quick_start.md: everything it says works from the wheel, in an empty folder."""

import re

import pytest
from from_the_wheel import run_from_the_wheel
from pasted import ROOT

PAGE = (ROOT / 'docs/quick_start.md').read_text()
# Numbers of scenes and epochs that a test can afford, in the place of the page's.
SMALLER = {
    'make-digits data/digits\n': 'make-digits data/digits --train 16 --val 4\n',
    '--work-dir work_dirs/digits\n': (
        '--work-dir work_dirs/digits --cfg-options train_cfg.max_epochs=1 '
        'param_scheduler.0.end=1 param_scheduler.1.end=1\n'
    ),
    'check-config mmvmlp::mask_rcnn_hire_mlp_nano_digits.py\n': (
        'check-config mmvmlp::mask_rcnn_hire_mlp_nano_digits.py --cfg-options '
        'param_scheduler.0.end=1\n'
    ),
    'epoch_4': 'epoch_1',
}


@pytest.mark.slow
def test_the_page_works_with_the_installed_wheel(installed_site, tmp_path):
    blocks = re.findall(r'^```(sh|python)\n(.+?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    pasted = '\n'.join(
        block if language == 'sh' else f"cat > pasted.py <<'END'\n{block}END\npython pasted.py"
        for language, block in blocks
    )
    # The wheel is there already.
    install = 'pip install "mmvmlp[demo]"\n'
    for written, smaller in {install: '', **SMALLER}.items():
        assert written in pasted
        pasted = pasted.replace(written, smaller)
    printed = run_from_the_wheel(pasted, installed_site, tmp_path)
    assert not re.search('^error: ', printed, re.MULTILINE)
    (shapes,) = re.findall(r'^```text\n(FeatureInfo.+?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert shapes in printed
    assert 'Ready to train' in printed
    for made in ('predictions/predictions.json', 'work_dirs/digits/report.html'):
        assert (tmp_path / 'empty' / made).is_file()

"""Train, evaluate and draw a Mask R-CNN with a Hire-MLP backbone on the digit scenes, and report.

Data and results go into the current folder.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import short_log
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.output_files import write_atomically
from mmvmlp.report.page import write_report
from mmvmlp.visualization.contact_sheet import draw_contact_sheet
from mmvmlp.visualization.training_curves import draw_training_curves

CONFIG = 'mmvmlp::mask_rcnn_hire_mlp_t_digits.py'
DATA = Path('data/digits')
WORK_DIR = Path('work_dirs/demo')
METRICS = ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50')


def run(*command: str | Path) -> float:
    """Run a command, shown as a user would type it; return the seconds it took."""
    print('\n$ mmvmlp', *command, flush=True)
    start = time.monotonic()
    result = subprocess.run([sys.executable, '-m', 'mmvmlp', *map(str, command)])
    if result.returncode:
        raise SystemExit(result.returncode)
    return time.monotonic() - start


def main() -> int:
    """Run every step, and print what it does and where its results are."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    start = time.monotonic()
    summary = WORK_DIR / 'metrics.json'
    summary.unlink(missing_ok=True)

    print(f'1/4  Digit scenes in {DATA} (about 20 s, once)', flush=True)
    with one_clear_error():
        # Scenes with the usual options can be made again; any others may be somebody's work.
        make_digit_scenes(DATA, renew=True)

    print('\n2/4  Training Mask R-CNN with Hire-MLP-Tiny (the log counts down)', flush=True)
    seconds_train = run('train', CONFIG, '--work-dir', WORK_DIR)
    checkpoint = WORK_DIR / Path((WORK_DIR / 'last_checkpoint').read_text()).name

    print('\n3/4  Evaluating the checkpoint on scenes of other hands and places', flush=True)
    results = WORK_DIR / 'test' / 'metrics.json'
    run('test', CONFIG, checkpoint, '--work-dir', WORK_DIR / 'test', '--out', results)
    measured = json.loads(results.read_text())

    print('\n4/4  Drawing', flush=True)
    sheet, curves = WORK_DIR / 'predictions.png', WORK_DIR / 'curves.png'
    report = WORK_DIR / 'report.html'
    with short_log():
        draw_contact_sheet(CONFIG, checkpoint, sheet, score_threshold=0.5)
        draw_training_curves(max(WORK_DIR.glob('*/vis_data/scalars.json')), curves)
        write_report([WORK_DIR], report)

    metrics = {name: round(measured[f'coco/{name}'], 4) for name in METRICS}
    metrics['seconds_train'] = round(seconds_train, 1)
    metrics['seconds_total'] = round(time.monotonic() - start, 1)
    write_atomically(summary, (json.dumps(metrics, indent=2) + '\n').encode())
    mmvmlp = os.path.relpath(Path(sys.executable).with_name('mmvmlp'))
    print(
        f'\nBox AP {metrics["bbox_mAP"]:.3f}, mask AP {metrics["segm_mAP"]:.3f} after '
        f'{seconds_train:.0f} s of training.\n'
        f'  {summary}: these figures\n'
        f'  {sheet}: predictions beside the ground truth\n'
        f'  {curves}: losses and AP over the training\n'
        f'  {checkpoint}: the detector\n'
        'Next, the detector on images of your choice:\n'
        f'  {mmvmlp} predict {DATA}/val2017 --config {CONFIG} '
        f'--checkpoint {checkpoint} --out-dir work_dirs/predictions\n'
        f'All of it in one page, for a browser: {report}'
    )
    return 0

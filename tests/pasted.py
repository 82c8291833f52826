"""What a page of the documentation says, pasted into a shell."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_pasted(commands: str, folder: Path) -> str:
    """Run commands in a folder that looks like a checkout, and return all that they printed."""
    for name in ('configs', 'tools'):
        (folder / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    result = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', commands],
        cwd=folder,
        env={**os.environ, 'PATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout

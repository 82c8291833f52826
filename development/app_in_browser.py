"""Look at the app in headless Chromium, and write its picture for docs/app.md.

Run as ``python -m development.app_in_browser``; it takes half a minute. It fails if an image or a
scene gets no boxes, if what is no image is not refused, or if the page writes an error to the
console or asks another host for anything.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmvmlp.app.page import served
from mmvmlp.cli.app import CHECKPOINT, CONFIG
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.inference.predictors import make_predictor
from mmvmlp.output_files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs/images/app.jpg'
IMAGE = ROOT / 'demo/digits.jpg'
WIDTH, HEIGHT = 1280, 900
SECONDS = 30

FOUND = 'document.querySelectorAll(".found tbody tr").length > 0'
REFUSED = '/{}/.test(document.body.innerText)'


START = """
import os, sys
for place, end in ((3, sys.argv[1]), (4, sys.argv[2])):
    os.dup2(int(end), place)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Starts a program with two pipes at 3 and 4, where Chromium has them."""


class Browser:
    """A page of Chromium, driven through its DevTools protocol.

    Args:
        commands: Pipe that Chromium reads.
        answers: Pipe that it writes.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.commands = os.fdopen(commands, 'wb', buffering=0)
        self.answers = os.fdopen(answers, 'rb', buffering=0)
        self.numbers = itertools.count(1)
        self.received = b''
        self.session: str | None = None
        self.problems: list[str] = []
        self.calm: set[str] = set()
        self.host = 'about:'
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self.session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Network', 'Log', 'DOM'):
            self.call(f'{domain}.enable')
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=WIDTH,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=False,
        )

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        number = next(self.numbers)
        message = {'id': number, 'method': method, 'params': parameters}
        if self.session is not None:
            message['sessionId'] = self.session
        self.commands.write(json.dumps(message).encode() + b'\0')
        while True:
            answer = self._answer()
            if answer.get('id') == number:
                if 'error' in answer:
                    raise ValueError(f'Chromium refuses {method}: {answer["error"]["message"]}')
                return answer['result']
            self._note(answer.get('method'), answer.get('params', {}))

    def _answer(self) -> Any:
        while b'\0' not in self.received:
            part = self.answers.read(1 << 20)
            if not part:
                raise OSError('Chromium ended')
            self.received += part
        answer, _, self.received = self.received.partition(b'\0')
        return json.loads(answer)

    def _note(self, event: str | None, about: Any) -> None:
        if event == 'Network.requestWillBeSent':
            url = about['request']['url']
            if not url.startswith((self.host, 'data:', 'blob:')):
                self.problems.append(f'asked {url}')
        elif event == 'Page.lifecycleEvent':
            if about['name'] == 'networkAlmostIdle':
                self.calm.add(about['loaderId'])
        elif event == 'Log.entryAdded' and about['entry']['level'] == 'error':
            self.problems.append(about['entry']['text'])
        elif event == 'Runtime.consoleAPICalled' and about['type'] == 'error':
            self.problems.append(str(about['args']))
        elif event == 'Runtime.exceptionThrown':
            self.problems.append(str(about['exceptionDetails']))

    def open(self, address: str) -> None:
        """Open the page, and wait until it takes clicks."""
        self.host = address
        self.call('Page.setLifecycleEventsEnabled', enabled=True)
        loader = self.call('Page.navigate', url=address)['loaderId']
        while loader not in self.calm:
            event = self._answer()
            self._note(event['method'], event['params'])

    def value(self, expression: str) -> Any:
        """Evaluate an expression of JavaScript."""
        result = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        return result['result'].get('value')

    def wait(self, expression: str) -> None:
        """Wait until an expression is true.

        Raises:
            ValueError: If it is not within 30 seconds.
        """
        end = time.monotonic() + SECONDS
        while not self.value(expression):
            if time.monotonic() > end:
                raise ValueError(f'after {SECONDS} seconds, {expression} is not so in the page')
            time.sleep(0.1)

    def press(self, label: str) -> None:
        """Press a button."""
        # Gradio has each tab twice, once invisible.
        self.value(
            '[...document.querySelectorAll("button:not([tabindex=\'-1\'])")].find(each => '
            f'each.innerText.trim() === {json.dumps(label)}).click()'
        )

    def drop(self, file: Path) -> None:
        """Choose a file, in place of the one before, if there is one."""
        self.value('document.querySelector("button[aria-label=\'Remove Image\']")?.click()')
        self.wait('!!document.querySelector("input[type=file]")')
        root = self.call('DOM.getDocument')['root']['nodeId']
        chooser = self.call('DOM.querySelector', nodeId=root, selector='input[type=file]')
        self.call('DOM.setFileInputFiles', files=[str(file)], nodeId=chooser['nodeId'])

    def picture(self) -> bytes:
        """Return the whole page as a JPEG."""
        height = self.value('document.documentElement.scrollHeight')
        taken = self.call(
            'Page.captureScreenshot',
            format='jpeg',
            quality=80,
            captureBeyondViewport=True,
            clip={'x': 0, 'y': 0, 'width': WIDTH, 'height': height, 'scale': 1},
        )
        return base64.b64decode(taken['data'])


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """Start Chromium with a profile of its own, until the context ends."""
    their_commands, our_commands = os.pipe()
    our_answers, their_answers = os.pipe()
    # Away from 3 and 4.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (their_commands, their_answers)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(sys.executable, '-c', START, *map(str, theirs), program),
                *('--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'),
                *('--disable-background-networking', '--no-first-run'),
                f'--user-data-dir={profile}',
            ],
            pass_fds=theirs,
            stderr=subprocess.DEVNULL,
        )
        for end in (their_commands, their_answers, *theirs):
            os.close(end)
        try:
            yield Browser(our_commands, our_answers)
        finally:
            process.terminate()
            process.wait()


def look_at_app(browser: Browser, address: str, folder: Path) -> bytes:
    """Use the app as a person would, and return its picture.

    Raises:
        ValueError: If it does not show what it should.
    """
    (folder / 'text.png').write_text('no image')
    cv2.imwrite(str(folder / 'large.png'), np.zeros((5000, 8000, 3), np.uint8))
    browser.open(address)
    browser.press('Digit scene')
    browser.wait(FOUND)
    browser.drop(folder / 'text.png')
    browser.wait(REFUSED.format('is not an image'))
    browser.drop(folder / 'large.png')
    browser.wait(REFUSED.format('at most 25,000,000 pixels'))
    browser.drop(IMAGE)
    browser.wait(FOUND)
    browser.press('Feature pyramid')
    browser.wait('document.querySelectorAll(".maps img").length === 32')
    browser.press('Receptive field')
    browser.wait('/half of the influence/.test(document.body.innerText)')
    browser.press('Predictions')
    browser.wait('[...document.querySelectorAll("img")].every(each => each.complete)')
    # The line below the tabs moves for a moment.
    time.sleep(1)
    picture = browser.picture()
    if browser.problems:
        raise ValueError('; '.join(browser.problems))
    return picture


def main() -> None:
    """Look at the app, and write its picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--chromium', default='chromium', help='program (default: chromium)')
    arguments = parser.parse_args()
    with one_clear_error('__main__'):
        predictor = make_predictor(load_config(CONFIG), CHECKPOINT, score_threshold=0.5)
        with (
            tempfile.TemporaryDirectory() as folder,
            served(predictor, CHECKPOINT.stem) as address,
            chromium(arguments.chromium) as browser,
        ):
            write_atomically(PICTURE, look_at_app(browser, address, Path(folder)))
    print(f'{PICTURE.relative_to(ROOT)}: the app with {IMAGE.name}')


if __name__ == '__main__':
    main()

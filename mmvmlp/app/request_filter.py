"""ASGI middleware in front of Gradio that passes only what the page itself needs.

Gradio serves more than one page needs, opens files and addresses that a request names, and its page
refers to other hosts. With the filter, only requests of the page itself pass, paths must lead to an
uploaded file, and browsers are told to ask no other host.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from mmvmlp.app.uploads import MOST_BYTES, Refused, check_name, check_size

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

API = '/gradio_api'
READ = re.compile(
    r'/(config|theme\.css|favicon\.ico)?'
    r'|/(assets|static)/.+'
    rf'|{API}/(info|startup-events|queue/data|heartbeat/\w+)'
)
FILE, UPLOAD, JOIN = f'{API}/file=', f'{API}/upload', f'{API}/queue/join'
PROGRESS = f'{API}/upload_progress'

MOST_JSON_BYTES = 1_000_000
FORM_BYTES = 10_000
"""Most bytes of a form besides its file."""

HEADERS = {
    'content-security-policy': (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
}

FOR_OTHERS = re.compile(
    r'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*|<link rel="manifest"[^>]*>\s*'
)
"""Parts of Gradio's page that are for other sites."""

NOTHING_THERE = 'This app has one page, and nothing else.'


class RequestFilter:
    """Refuse requests that the page would not make, and remove other hosts from answers.

    Args:
        app: Gradio's application.
        folder: Folder in which Gradio stores uploads and pictures; no other file is opened.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], folder: str) -> None:
        self.app = app
        self.folder = os.path.realpath(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        if scope['type'] != 'http':
            if scope['type'] == 'lifespan':
                await self.app(scope, receive, send)
            return
        if scope['path'] == PROGRESS:
            # Uploads are passed on when they are complete.
            done = PlainTextResponse('data: {"msg": "done"}\n\n', headers=HEADERS)
            done.headers['content-type'] = 'text/event-stream'
            await done(scope, receive, send)
            return
        try:
            receive = await self._let_in(scope, receive)
        except Refused as refusal:
            text, status = str(refusal), refusal.status
            # The page shows the whole answer to an upload, and this key of other answers.
            answer = (
                PlainTextResponse(text, status, HEADERS)
                if scope['path'] == UPLOAD
                else JSONResponse({'detail': text}, status, HEADERS)
            )
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, _let_out(scope, send))

    async def _let_in(self, scope: Scope, receive: Receive) -> Receive:
        """Check a request, and return what its body is received by."""
        method, path = scope['method'], scope['path']
        if method in ('GET', 'HEAD'):
            if path.startswith(FILE):
                self._check_path(path.removeprefix(FILE))
            elif not READ.fullmatch(path):
                raise Refused(NOTHING_THERE, 404)
            return receive
        if (method, path) == ('POST', UPLOAD):
            body = await _body(scope, receive, MOST_BYTES + FORM_BYTES)
            await _check_form(scope, body)
        elif (method, path) == ('POST', JOIN):
            body = await _body(scope, receive, MOST_JSON_BYTES)
            self._check_paths(body)
        else:
            raise Refused(NOTHING_THERE, 404)
        return _replay(body, receive)

    def _check_paths(self, body: bytes) -> None:
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused('The request is not JSON.') from error
        for path in _paths_in(request):
            self._check_path(path)

    def _check_path(self, path: Any) -> None:
        real = os.path.realpath(path) if isinstance(path, str) and '\0' not in path else ''
        if not real.startswith(self.folder + os.sep) or not os.path.isfile(real):
            raise Refused('Only images that were dropped in here are opened.', 403)


def _paths_in(request: Any) -> Iterator[Any]:
    """List what a request calls a path, at any depth."""
    waiting = [request]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if each.get('path') is not None:
                yield each['path']
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


async def _body(scope: Scope, receive: Receive, most: int) -> bytes:
    """Receive a whole body.

    Raises:
        Refused: If it is larger than it may be; the rest is not received.
    """
    announced = dict(scope['headers']).get(b'content-length', b'0')
    size, parts, more = int(announced) if announced.isdigit() else 0, [], True
    received = 0
    while more and max(size, received) <= most:
        message = await receive()
        parts.append(message.get('body', b''))
        received += len(parts[-1])
        more = message.get('more_body', False)
    if max(size, received) > most:
        check_size(max(size, received))
        raise Refused('The request is too large.', 413)
    return b''.join(parts)


async def _check_form(scope: Scope, body: bytes) -> None:
    """Check that a form has one file, with a name."""
    request = Request(scope, _replay(body))
    try:
        async with request.form(max_files=1, max_fields=0) as form:
            (file,) = form.values()
            check_name(getattr(file, 'filename', None) or '')
    except (HTTPException, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused('One image at a time is accepted.') from error


def _replay(body: bytes, receive: Receive | None = None) -> Receive:
    """Return what receives a body once more, and then what comes after it."""
    waiting = [{'type': 'http.request', 'body': body, 'more_body': False}]

    async def replay() -> Message:
        if waiting or receive is None:
            return waiting.pop()
        return await receive()

    return replay


def _let_out(scope: Scope, send: Send) -> Send:
    """Return what sends a response with our headers, and the page without other hosts."""
    is_page = scope['path'] == '/' and scope['method'] == 'GET'
    start: Message = {}
    page = bytearray()

    async def let_out(message: Message) -> None:
        if message['type'] == 'http.response.start':
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message['headers'] = [*message.get('headers', ()), *added]
            if is_page:
                start.update(message)
                return
        elif is_page:
            page.extend(message.get('body', b''))
            if message.get('more_body'):
                return
            message['body'] = FOR_OTHERS.sub('', page.decode()).encode()
            length = str(len(message['body'])).encode()
            start['headers'] = [
                (name, length if name == b'content-length' else value)
                for name, value in start['headers']
            ]
            await send(start)
        await send(message)

    return let_out

"""As much of a W&B server as a run needs, on loopback; it can be lost."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUCKET = {
    'id': 'bucket',
    'displayName': 'run',
    'config': '{}',
    'summaryMetrics': '{}',
    'sweepName': None,
    'historyLineCount': 0,
    'project': {'id': 'project', 'name': 'lipfault', 'entity': {'id': 'entity', 'name': 'team'}},
}
VIEW_PROJECT = {'id': 'project', 'name': 'lipfault', 'entityName': 'team'}
VIEWER = {'id': 'v', 'entity': 'team', 'username': 'me', 'flags': '{}', 'teams': {'edges': []}}


class Handler(BaseHTTPRequestHandler):
    """Answers the queries of a run and of a dashboard; keeps what it is sent."""

    protocol_version = 'HTTP/1.1'
    server: 'Server'

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self._body()
        self._answer({})

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if self.path.startswith('/graphql'):
            self._answer({'data': self._data(body['query'], body.get('variables') or {})})
            return
        history = body.get('files', {}).get('wandb-history.jsonl', {})
        self.server.history += map(json.loads, history.get('content', []))
        if self.server.lost_when_used:
            self.server.lost = True
        self._answer({'limits': {}})

    def _data(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if 'upsertBucket' in query:
            bucket = BUCKET | {'name': variables.get('name') or 'run'}
            return {'upsertBucket': {'bucket': bucket, 'inserted': True}}
        if 'createRunFiles' in query:
            url = f'{self.server.url}/upload'
            files = [{'name': n, 'uploadUrl': url} for n in variables.get('files', [])]
            return {'createRunFiles': {'runID': 'bucket', 'uploadHeaders': [], 'files': files}}
        if 'upsertView' in query:
            self.server.views.append(variables)
            view = {'id': 'view', 'name': variables.get('name'), 'displayName': 'd', 'type': 'runs'}
            view |= {'description': '', 'spec': variables['spec'], 'project': VIEW_PROJECT}
            view |= {'createdAt': None, 'updatedAt': None, 'user': {'username': 'me', 'name': 'me'}}
            return {'upsertView': {'view': view, 'inserted': True}}
        if 'internalId' in query:
            return {'project': {'id': 'project', 'internalId': 'internal'}}
        if 'models(' in query:
            node = {'id': 'project', 'name': 'lipfault', 'entityName': 'team', 'createdAt': '2026'}
            edges = [{'node': node | {'isBenchmark': False, 'user': None}, 'cursor': 'c'}]
            page = {'endCursor': 'c', 'hasNextPage': False}
            return {'models': {'edges': edges, 'pageInfo': page}}
        if 'viewer' in query:
            return {'viewer': VIEWER}
        return {'serverInfo': {'features': []}} if 'features' in query else {}

    def _answer(self, content: dict[str, Any]) -> None:
        if self.server.lost:
            self.close_connection = True
            return
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get('Transfer-Encoding') == 'chunked':
            body = b''
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        return gzip.decompress(body) if self.headers.get('Content-Encoding') == 'gzip' else body


class Server(ThreadingHTTPServer):
    """Keeps what it is sent; once lost it hangs up on everyone."""

    daemon_threads = True

    def __init__(self, lost_when_used: bool) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.history: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.lost_when_used, self.lost = lost_when_used, False
        self.url = f'http://127.0.0.1:{self.server_address[1]}'

    def handle_error(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving(lost_when_used: bool = False) -> Iterator[Server]:
    """A server; lost for good as soon as a run has sent it anything, if so wanted."""
    server = Server(lost_when_used)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()

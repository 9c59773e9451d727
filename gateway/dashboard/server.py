"""The pages of the dashboard, and the server that serves them on this machine alone."""

# ruff: noqa: PLC0415

import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from qiskit_gateway.config_file.loader import Config, load_config
from qiskit_gateway.dashboard.overview import Reader
from qiskit_gateway.dashboard.steering import Steering, SteeringError
from qiskit_gateway.display.units import number, span, usd
from qiskit_gateway.errors import GatewayError, JournalError
from qiskit_gateway.journal.journal import Journal

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_HERE = Path(__file__).parent
_LAST_PORT = 65_535
_LOOK_SECONDS = 1.0
# The pages that are open look every second, or when the journal was read, and see then that it ends.
_ENDING_SECONDS = 5
# Also where nothing changed time passes: pages tell how long ago things were, and processes die.
_STALE_SECONDS = 5.0
# A journal that takes long to read is read less often, so that looking on costs little of a core.
_REST_TIMES = 20
# Pages that people look at at once.
_MOST_MADE = 64
# Proxies and browsers give up connections on which nothing comes.
_SIGN_OF_LIFE_SECONDS = 15.0
_HEADERS = {
    # Nothing in a page can run, load or send anything but what this server serves.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
# Other names would be those of foreign pages that resolve to this machine.
_HOSTS = ["127.0.0.1", "localhost"]


def serve(
    journal: str | os.PathLike[str] | Journal,
    config: str | os.PathLike[str] | Config | None = None,
    *,
    port: int = 8765,
    token: str | None = None,
    tell: Callable[[str], object] = print,
) -> None:
    """Serve the dashboard of a journal on 127.0.0.1, until it is interrupted.

    Anyone who can log in to this machine can see it; to cancel and resume runs takes the token.

    Args:
        journal: The journal, or its path or address. It must be there.
        config: The configuration file, for the members and the budget, and to resume runs.
        port: Of the address; 0 for any that is free.
        token: What lets people cancel and resume; by default one that nobody can guess.
        tell: Told the address with the token, which opens the dashboard with all it can do.

    Raises:
        JournalError: If there is no such journal.
        ConfigError: If the configuration cannot be used.
        GatewayError: If the port is taken.
        ImportError: If the extra ``dashboard`` is not installed.
    """
    token = secrets.token_urlsafe(24) if token is None else token
    made = application(journal, config, token=token)
    try:
        import uvicorn
    except ImportError as error:
        raise _make_import_error(error) from error
    if not 0 <= port <= _LAST_PORT:
        raise GatewayError(f"port must be from 1 to {_LAST_PORT}, or 0 for any; got {port}")
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise GatewayError(
            f"port {port} cannot be used: {error}; choose another one, or 0 for any"
        ) from error
    with listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        tell(f"{address}#token={token}")
        settings = uvicorn.Config(
            made,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_ENDING_SECONDS,
        )
        server = uvicorn.Server(settings)
        made.state.is_ending = lambda: server.should_exit
        server.run(sockets=[listening])


def application(
    journal: str | os.PathLike[str] | Journal,
    config: str | os.PathLike[str] | Config | None = None,
    *,
    token: str,
) -> "Starlette":
    """Make the dashboard as an ASGI application; see :func:`serve`.

    Raises:
        ValueError: If the token is empty.
    """
    if not token:
        raise ValueError("the token must not be empty: anybody could cancel runs")
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles

        environment = _environment()
    except ImportError as error:
        raise _make_import_error(error) from error
    opened = _open_journal(journal)
    known = config if config is None or isinstance(config, Config) else load_config(config)
    pages = Pages(
        reader=Reader(journal=opened, config=known),
        steering=Steering(journal=opened, config=known),
        environment=environment,
        token=token,
    )
    made = Starlette(
        routes=[
            Route("/", pages.index),
            Route("/events", pages.events),
            Route("/runs/{job_id}", pages.run),
            Route("/runs/{job_id}/{action}", pages.act, methods=["POST"]),
            # Links, since an editable install is made of them.
            Mount("/static", StaticFiles(directory=_HERE / "static", follow_symlink=True)),
        ],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False),
        ],
        exception_handlers={JournalError: pages.unreadable},
    )
    # The server of `serve` tells that it ends; any other one cancels what people look at.
    made.state.is_ending = lambda: False
    return made


class Pages:
    """The request handlers of the dashboard."""

    def __init__(
        self,
        *,
        reader: Reader,
        steering: Steering,
        environment: "Environment",
        token: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._steering = steering
        self._environment = environment
        self._token = token
        self._clock = clock
        self._made: dict[str | None, _Made] = {}
        self._making = anyio.Lock()

    async def index(self, request: "Request") -> "Response":
        """Answer with the first page."""
        del request
        parts = await anyio.to_thread.run_sync(self._render_index)
        return self._page("index.html", parts, title="runs")

    async def run(self, request: "Request") -> "Response":
        """Answer with the page of a run."""
        job_id = request.path_params["job_id"]
        parts = await anyio.to_thread.run_sync(self._run_parts, job_id)
        if parts is None:
            return self._page("missing.html", {}, title="no such run", status=404)
        return self._page("run.html", parts, title=f"run {job_id[:8]}")

    async def events(self, request: "Request") -> "Response":
        """Send the parts of a page whenever they change."""
        from starlette.responses import StreamingResponse

        job_id = request.query_params.get("run")
        changes = self._watch_changes(job_id, until=request.app.state.is_ending)
        return StreamingResponse(changes, media_type="text/event-stream")

    async def _watch_changes(
        self, job_id: str | None, *, until: Callable[[], bool]
    ) -> AsyncIterator[str]:
        sent: dict[str, str] = {}
        quiet = 0.0
        while not until():
            try:
                async with self._making:  # What is made for one viewer serves all.
                    parts = await anyio.to_thread.run_sync(self._render_latest, job_id)
                changed = {name: html for name, html in parts.items() if sent.get(name) != html}
                text = f"event: parts\ndata: {json.dumps(changed)}\n\n" if changed else ""
                sent.update(changed)
            except JournalError as error:
                # It may be readable again later: somebody may hold it locked.
                text = f"event: trouble\ndata: {json.dumps(str(error))}\n\n"
            quiet = 0.0 if text else quiet + _LOOK_SECONDS
            if quiet >= _SIGN_OF_LIFE_SECONDS:
                text, quiet = ": still here\n\n", 0.0
            if text:
                yield text
            await anyio.sleep(_LOOK_SECONDS)

    def _render_latest(self, job_id: str | None) -> Mapping[str, str]:
        """Render the parts of a page, anew only where they may have changed."""
        now, changes, last = self._clock(), self._reader.journal.changes(), self._made.get(job_id)
        if last is not None:
            age = now - last.at
            if age < (_STALE_SECONDS if changes == last.changes else _REST_TIMES * last.took):
                return last.parts
        parts = (self._render_index() if job_id is None else self._run_parts(job_id)) or {}
        made = _Made(parts=parts, changes=changes, at=now, took=self._clock() - now)
        self._made.pop(job_id, None)
        self._made[job_id] = made
        while len(self._made) > _MOST_MADE:
            del self._made[next(iter(self._made))]
        return parts

    async def act(self, request: "Request") -> "Response":
        """Cancel or resume a run. The request must carry the token."""
        from starlette.responses import JSONResponse

        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            message = "this takes the token that the dashboard printed when it was started"
            return JSONResponse({"message": message}, status_code=401)
        actions = {"cancel": self._steering.cancel, "resume": self._steering.resume}
        action = actions.get(request.path_params["action"])
        if action is None:
            return JSONResponse({"message": "a run can be cancelled or resumed"}, status_code=404)
        try:
            message = await anyio.to_thread.run_sync(action, request.path_params["job_id"])
        except SteeringError as error:
            return JSONResponse({"message": str(error)}, status_code=409)
        except GatewayError as error:
            return JSONResponse({"message": str(error)}, status_code=500)
        return JSONResponse({"message": message}, status_code=202)

    async def unreadable(self, request: "Request", error: Exception) -> "Response":
        """Answer that the journal cannot be read."""
        del request
        return self._page("missing.html", {"error": str(error)}, title="unreadable", status=503)

    # -- what the pages are made of --------------------------------------------------------------

    def _render_index(self) -> dict[str, str]:
        overview = self._reader.overview()
        names = ("running", "fleet", "money", "failures", "runs")
        return {name: self._render(f"{name}.html", overview=overview) for name in names}

    def _run_parts(self, job_id: str) -> dict[str, str] | None:
        run = self._reader.run(job_id)
        if run is None:
            return None
        names = ("facts", "timeline", "attempts")
        return {name: self._render(f"run_{name}.html", run=run) for name in names}

    def _render(self, template: str, **values: Any) -> str:
        can_resume = self._reader.config is not None
        return self._environment.get_template(template).render(can_resume=can_resume, **values)

    def _page(
        self, template: str, parts: Mapping[str, str], *, title: str, status: int = 200
    ) -> "Response":
        from markupsafe import Markup
        from starlette.responses import HTMLResponse

        journal = self._reader.journal.name
        # Parts were escaped as they were made; an error is text.
        ready = {
            name: part if name == "error" else Markup(part)  # noqa: S704
            for name, part in parts.items()
        }
        html = self._render(template, title=title, journal=journal, **ready)
        return HTMLResponse(html, status_code=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """The parts of a page as they were last made.

    Attributes:
        parts: They.
        changes: What the journal's changes were before.
        at: When, in seconds of the pages' clock.
        took: How long that took.
    """

    parts: Mapping[str, str]
    changes: tuple[int, ...]
    at: float
    took: float


class _Headers:
    """Adds the headers that keep foreign scripts, frames and caches out."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), text.encode()) for name, text in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _environment() -> "Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(span=span, usd=usd, number=number)
    return environment


def _open_journal(journal: str | os.PathLike[str] | Journal) -> Journal:
    if isinstance(journal, Journal):
        return journal
    text = os.fspath(journal)
    # One that is misspelt must not be made anew, empty.
    if "://" not in text and not Path(text).expanduser().exists():
        raise JournalError(f"there is no journal {text}: give the one that your runs write")
    return Journal(journal)


def _make_import_error(error: ImportError) -> ImportError:
    return ImportError(f"the dashboard needs {error.name}: pip install 'qiskit-gateway[dashboard]'")

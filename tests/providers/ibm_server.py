"""A server that speaks the part of IBM Quantum's REST API that ``qiskit-ibm-runtime`` uses.

It has one machine, a fake Manila without noise, and runs what it is sent: quantum programs, which the
client-side ``Sampler`` and ``Estimator`` make of PUBs, and the PUBs of the deprecated ``SamplerV2``
and ``EstimatorV2``. What it answers
follows the package's own reading of the API; that the real service does all of it the same way is not
known. Of an account it has one token and one instance: the package is told not to look for others.
"""

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import jwt
from ibm_quantum_schemas.executor.version_2_0 import models
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider.backends import manila
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

MACHINE = "ibm_manila"
INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
FINAL = {"Completed", "Failed", "Cancelled"}


class IBMServer:
    """The service: its jobs and sessions, and what goes wrong next.

    Attributes:
        jobs: Every job that was taken, by its id.
        sessions: Every session and batch, by its id.
        troubles: What happens to the submissions to come, one each: an HTTP status to answer with,
            ``"vanish"`` to take the job and hang up without an answer, ``"hang"`` to take it and
            not answer before :attr:`released`, ``"fail"`` to take it and fail it, or ``"hold"`` to
            leave it in the queue.
        asked: How often each job was asked for.
    """

    def __init__(self):
        self.jobs = {}
        self.sessions = {}
        self.troubles = []
        self.asked = Counter()
        self.released = threading.Event()
        self._changed = threading.Condition()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def root(self):
        return f"http://127.0.0.1:{self._http.server_port}"

    def wait_for(self, happened):
        """Wait until something is so, which is looked at after each request."""
        with self._changed:
            assert self._changed.wait_for(happened, timeout=120)

    def note(self):
        """Have whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def finish(self):
        """Run what is in the queue."""
        for job in self.jobs.values():
            if job["status"] == "Queued":
                job["result"], job["status"] = run(job["program"]["id"], job["params"]), "Completed"

    # -- what is asked ---------------------------------------------------------------------------

    def get(self, path, query):
        """Answer a GET, by the parts of its path."""
        match path:
            case ["backends", *rest]:
                return 200, machine(rest)
            case ["instances", "usage"]:
                return 200, {"usage_consumed_seconds": 0}
            case ["jobs"]:
                wanted = set(query.get("tags", []))
                found = [shown(job) for job in self.jobs.values() if wanted <= set(job["tags"])]
                return 200, {"jobs": found, "count": len(found)}
            case ["jobs", key, *what] if key in self.jobs:
                return 200, self._part(key, what)
            case ["sessions", key] if key in self.sessions:
                return 200, self.sessions[key]
        return 404, problem(1200, "no such thing")

    def _part(self, key, what):
        match what:
            case ["results"]:
                return self.jobs[key]["result"]
            case ["metrics"]:
                return {"usage": {"qpu_charge_time_seconds": 2, "status": "complete"}}
        self.asked[key] += 1
        return shown(self.jobs[key])

    def post(self, path, body):
        """Answer a POST; ``None`` for no answer at all."""
        match path:
            case ["identity", "token"]:
                now = int(time.time())
                claims = {"iat": now, "exp": now + 3600}
                token = jwt.encode(claims, 64 * "k", algorithm="HS256")
                return 200, {"access_token": token, "expiration": now + 3600, "expires_in": 3600}
            case ["sessions"]:
                key = f"session-{len(self.sessions)}"
                self.sessions[key] = {"id": key, "state": "open", "accepting_jobs": True, **body}
                return 200, self.sessions[key]
            case ["jobs", key, "cancel"] if key in self.jobs:
                job = self.jobs[key]
                if job["status"] in FINAL:
                    return 409, problem(1210, "the job is over")
                job["status"] = "Cancelled"
                return 204, ""
            case ["jobs"]:
                return self._submitted(body)
        return 404, problem(1200, "no such thing")

    def patch(self, path, body):
        match path:
            case ["sessions", key] if key in self.sessions:
                self.sessions[key] |= body | {"state": "closed"}
                return 204, ""
        return 404, problem(1200, "no such session")

    # -- jobs ------------------------------------------------------------------------------------

    def _submitted(self, body):
        session = self.sessions.get(body.get("session_id"))
        if session is not None and not session["accepting_jobs"]:
            return 400, problem(1217, "Session has been closed.")
        with self._lock:
            trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, int):
            return trouble, problem(trouble, "troubled")
        job = {
            "id": str(uuid4()),
            "program": {"id": body["program_id"]},
            "backend": body["backend"],
            "session_id": body.get("session_id"),
            "tags": body.get("tags", []),
            "created": "2026-11-28T10:00:00Z",
            "status": {"hold": "Queued", "fail": "Failed"}.get(trouble, "Completed"),
            "params": body["params"],
            "result": "it failed",
        }
        if job["status"] == "Completed":
            job["result"] = run(body["program_id"], body["params"])
        self.jobs[job["id"]] = job
        if trouble == "hang":
            self.note()
            self.released.wait(60)
        return None if trouble == "vanish" else (200, {"id": job["id"], "backend": job["backend"]})


def machine(what):
    """Tell of the one machine, or what there is."""
    match what:
        case [_, "status"]:
            return {"state": True, "status": "active", "length_queue": 3}
        case [_, ("configuration" | "properties") as what]:
            file = {"configuration": "conf_manila", "properties": "props_manila"}[what]
            content = json.loads((Path(manila.__file__).parent / f"{file}.json").read_text())
            return content | {"backend_name": MACHINE, "simulator": False}
    return {"devices": [{"name": MACHINE}]}


def run(program, params):
    return {"executor": run_program, "sampler": run_pubs, "estimator": run_estimates}[program](
        params
    )


def run_program(params):
    """Run a quantum program, as the client-side sampler sends it."""
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[params["schema_version"]]
    program, _ = converter.decoder(converter.model.model_validate(params))
    for item in program.items:
        if hasattr(item, "samplex"):
            item.samplex.finalize()
    found = run_quantum_program(AerSimulator(), program, SimulatorOptions())
    tensor = models.QuantumProgramResultItemModel.model_fields["results"].annotation.__args__[1]
    items = [
        models.QuantumProgramResultItemModel(
            results={name: tensor.from_numpy(array) for name, array in item.items()},
            metadata=models.ItemMetadataModel(),
        )
        for item in found
    ]
    stated = params["quantum_program"]
    return models.QuantumProgramResultModel(
        data=items,
        metadata=models.MetadataModel(chunk_timing=[]),
        passthrough_data=stated["passthrough_data"],
        semantic_role=stated["semantic_role"],
    ).model_dump_json()


def run_pubs(params):
    """Run PUBs, as the deprecated sampler sends them."""
    pubs = json.loads(json.dumps(params["pubs"]), cls=RuntimeDecoder)
    result = StatevectorSampler().run([tuple(pub) for pub in pubs]).result()
    return json.dumps(result, cls=RuntimeEncoder)


def run_estimates(params):
    """Run PUBs, as the deprecated estimator sends them."""
    pubs = json.loads(json.dumps(params["pubs"]), cls=RuntimeDecoder)
    result = StatevectorEstimator(default_precision=0.1).run([tuple(pub) for pub in pubs]).result()
    return json.dumps(result, cls=RuntimeEncoder)


def shown(job):
    """Return a job as the API shows it."""
    told = {key: value for key, value in job.items() if key not in {"status", "result", "params"}}
    return told | {"state": {"status": job["status"]}, "status": job["status"]}


def problem(code, message):
    return {"errors": [{"code": code, "message": message, "solution": "", "more_info": ""}]}


def _handler_of(server):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

        def do_GET(self):
            url = urlsplit(self.path)
            self._answer(server.get(_parts(url.path), parse_qs(url.query)))

        def do_POST(self):
            self._answer(server.post(_parts(self.path), self._body()))

        def do_PATCH(self):
            self._answer(server.patch(_parts(self.path), self._body()))

        def _body(self):
            text = self.rfile.read(int(self.headers["Content-Length"] or 0))
            return json.loads(text) if text.startswith(b"{") else {}

        def _answer(self, answer):
            if answer is None:
                self.close_connection = True
                return
            status, content = answer
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            server.note()

    return Handler


def _parts(path):
    parts = path.strip("/").split("/")
    return parts[1:] if parts[0] == "experimental" else parts

"""A server that speaks the part of IonQ's REST API (v0.4) that ``qiskit-ionq`` uses.

It runs what it is sent, by Qiskit: exact probabilities for ``simulator``, sampled shots for
``qpu.*`` and for noise models. What it answers in which case follows the package's own reading of
the API, and IonQ's pages on jobs; that the real service does all of it the same way is not known.
"""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import numpy as np
from qiskit import qasm3
from qiskit.circuit import QuantumCircuit, library
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import Statevector

QUBITS = 11
PAGE = 3  # Small, so that lists have several.
SHOTS_FORMAT = "ionq.result.shots.json.v2"

_FIXED = {
    "x": library.XGate,
    "not": library.XGate,
    "y": library.YGate,
    "z": library.ZGate,
    "h": library.HGate,
    "s": library.SGate,
    "si": library.SdgGate,
    "t": library.TGate,
    "ti": library.TdgGate,
    "v": library.SXGate,
    "vi": library.SXdgGate,
    "swap": library.SwapGate,
}
_TURNING = {
    "rx": library.RXGate,
    "ry": library.RYGate,
    "rz": library.RZGate,
    "z": library.PhaseGate,
    "xx": library.RXXGate,
    "yy": library.RYYGate,
    "zz": library.RZZGate,
}


def circuit_of(instructions, qubits):
    """Return a list of the API's gates as a circuit."""
    circuit = QuantumCircuit(qubits)
    for instruction in instructions:
        name = instruction["gate"]
        turned = "rotation" in instruction
        gate = _TURNING[name](instruction["rotation"]) if turned else _FIXED[name]()
        controls = instruction.get("controls", [])
        if controls:
            gate = gate.control(len(controls))
        circuit.append(gate, [*controls, *instruction["targets"]])
    return circuit


class IonQServer:
    """The service: its jobs, and what goes wrong next.

    Attributes:
        jobs: Every job that was taken, by its id, children too.
        troubles: What happens to the submissions to come, one each: an HTTP status to answer with,
            ``"vanish"`` to take the job and hang up without an answer, ``"hang"`` to take it and
            not answer before :attr:`released`, ``"fail"`` to take it and fail it, or ``"hold"`` to
            leave it in the queue.
        posted: The bodies of all submissions, those that were not taken too.
    """

    def __init__(self):
        self.jobs = {}
        self.troubles = []
        self.posted = []
        self.released = threading.Event()
        self._rng = np.random.default_rng(5)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._http.server_port}/v0.4"

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    # -- what is asked ---------------------------------------------------------------------------

    def get(self, path, query):
        """Answer a GET, by the parts of its path."""
        match path:
            case ["backends", name]:
                return 200, {"backend": name, "status": "available", "qubits": QUBITS}
            case ["jobs"]:
                return 200, self._page(query)
            case ["jobs", "estimate"]:
                return 200, {
                    "estimated_cost": 1.5,
                    "cost_unit": "usd",
                    "current_predicted_queue_time": 40,
                }
            case ["jobs", key, "cost"] if key in self.jobs:
                cost = {"value": 12.25, "unit": "usd"}
                return 200, {"dry_run": False, "estimated_cost": cost, "cost": cost}
            case ["jobs", key, *what] if key in self.jobs:
                return 200, part_of(self.jobs[key], what)
        return 404, {"code": 404, "message": "no such thing"}

    def put(self, path):
        """Answer a PUT: cancel a job that has not run."""
        match path:
            case ["jobs", key, "status", "cancel"] if key in self.jobs:
                if self.jobs[key]["status"] == "ready":
                    self.jobs[key]["status"] = "canceled"
                return 200, {"id": key, "status": self.jobs[key]["status"]}
        return 404, {"code": 404, "message": "no such job"}

    def post(self, body):
        """Take a job; ``None`` for no answer at all."""
        self.posted.append(body)
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, int):
            return trouble, {"code": trouble, "message": "troubled"}
        if body["input"]["qubits"] > QUBITS:
            return 400, {"code": 400, "message": f"qubits must be at most {QUBITS}"}
        job = self._taken(body, {"fail": "failed", "hold": "ready"}.get(trouble, "completed"))
        if trouble == "hang":
            self.released.wait(60)
        return (
            None
            if trouble in {"vanish", "hang"}
            else (200, {"id": job["id"], "status": "submitted"})
        )

    def _page(self, query):
        """Return a page of all jobs, the last first."""
        found = [shown(job) for job in reversed(self.jobs.values())]
        start = int(query.get("next", ["0"])[0])
        more = start + PAGE < len(found)
        return {"jobs": found[start : start + PAGE], "next": str(start + PAGE) if more else None}

    # -- jobs ------------------------------------------------------------------------------------

    def _taken(self, body, status, parent=None):
        job = {
            "id": str(uuid4()),
            "status": status,
            "parent_job_id": parent,
            **{key: body.get(key) for key in ("type", "backend", "name", "metadata", "shots")},
        }
        self.jobs[job["id"]] = job
        if status == "failed":
            job["failure"] = {"code": "CompilationError", "error": "it could not be compiled"}
        if status == "completed":
            run = {"ionq.multi-circuit.v1": self._run_many, "ionq.qasm3.v1": self._run_dynamic}
            run.get(body["type"], self._run_one)(job, body)
        return job

    def _run_one(self, job, body):
        given, shots = body["input"], int(body["shots"])
        circuit = circuit_of(given["circuit"], given["qubits"])
        chances = Statevector(circuit).probabilities() if given["qubits"] else np.ones(1)
        content = {}
        if is_sampled(body):
            drawn = self._rng.choice(len(chances), shots, p=chances / chances.sum()).tolist()
            content["shots"] = drawn
            found = {number: count / shots for number, count in sorted(Counter(drawn).items())}
        else:
            found = {number: chance for number, chance in enumerate(chances) if chance > 1e-12}
        content["probabilities"] = {str(number): float(c) for number, c in found.items()}
        finish(job, content, qubits=given["qubits"], circuits=1)

    def _run_many(self, job, body):
        job["child_job_ids"], found = [], {}
        for one in body["input"]["circuits"]:
            given = {"qubits": body["input"]["qubits"], "circuit": one["circuit"]}
            alone = {**body, "type": "ionq.circuit.v1", "name": one["name"], "input": given}
            child = self._taken(alone, "completed", parent=job["id"])
            job["child_job_ids"].append(child["id"])
            found[child["id"]] = child["content"]["probabilities"]
        content = {"probabilities/aggregated": found}
        finish(job, content, qubits=body["input"]["qubits"], circuits=len(found))

    def _run_dynamic(self, job, body):
        circuit = qasm3.loads(body["input"]["data"])
        shots = int(body["shots"])
        result = BasicSimulator().run(circuit, shots=shots, memory=True, seed_simulator=3).result()
        content = {"registers": []}
        for text in result.get_memory():
            parts = dict(zip([r.name for r in reversed(circuit.cregs)], text.split(), strict=True))
            bits = {name: [int(bit) for bit in reversed(part)] for name, part in parts.items()}
            content["registers"].append({"registers": bits})
        finish(job, content, qubits=circuit.num_qubits, circuits=1)
        # The ideal simulator knows the chances of outcomes only.
        job["results"] = {SHOTS_FORMAT: {"id": str(uuid4())}} if is_sampled(body) else {}


def is_sampled(body):
    """Tell whether a job has single shots."""
    noise = (body.get("noise") or {}).get("model") or "ideal"
    return body["backend"] != "simulator" or noise != "ideal"


def finish(job, content, *, qubits, circuits):
    """Note what a job has found, and where it can be read."""
    job["content"] = content
    job["stats"] = {"qubits": qubits, "circuits": circuits}
    job["execution_duration_ms"] = 12
    root = f"/v0.4/jobs/{job['id']}/results"
    job["results"] = {name.partition("/")[0]: {"url": f"{root}/{name}"} for name in content}


def part_of(job, what):
    """Return a job, or what it has found, by the rest of a path."""
    match what:
        case ["results", *names]:
            return job["content"]["/".join(names)]
        case ["artifacts", _]:
            return {"shots": job["content"]["registers"]}
    return shown(job)


def shown(job):
    """Return a job as the API shows it."""
    return {key: value for key, value in job.items() if key != "content"}


def _handler_of(server):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

        def do_GET(self):
            url = urlsplit(self.path)
            self._answer(*server.get(_parts(url.path), parse_qs(url.query)))

        def do_PUT(self):
            self._answer(*server.put(_parts(self.path)))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = server.post(body)
            if answer is None:
                self.close_connection = True
            else:
                self._answer(*answer)

        def _answer(self, status, content):
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _parts(path):
    return path.strip("/").split("/")[1:]

"""Several processes on one journal, killed at random, their clocks set at random; told what came.

    python rivalry.py FOLDER SEED ADDRESS...

Each address is a journal for one history. The providers' jobs live on disk, as they would elsewhere,
and tell when they ran. Told as JSON, for each history: what broke a law, and what was drawn.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from journals import read_reservations
from killing import BITS, DiskBackend, forked
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qiskit_gateway import GatewayError, Journal, JournalError, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.journal.claims import read_balances
from qiskit_gateway.policies import Budget, Policy, Share

PROCESSES, ROWS, SHOTS, PRICE = 4, 4, 10, 0.125
DAY = 86_400
# A process that takes longer than this hangs, and so does the history.
PATIENCE_SECONDS = 120.0


class TimedBackend(DiskBackend):
    """One whose jobs say when they began; they end when they are ready."""

    def run(self, run_input, **options):
        began = time.time()
        job = super().run(run_input, **options)
        (self.folder / f"{job.job_id()}.began").write_text(str(began))
        return job


class Clock:
    """A clock that is set forwards and back at random."""

    def __init__(self, rng):
        self.rng, self.step = rng, 0.0

    def __call__(self):
        if self.rng.random() < 0.1:
            self.step = self.rng.uniform(-2 * DAY, 2 * DAY)
        return time.time() + self.step


def drawn(rng):
    """Draw a history."""
    rows = PROCESSES * 2 * ROWS
    return {
        "limits": {name: rng.randint(1, 3) for name in "ab"},
        "circuits": rng.randint(1, 3),
        "budget": drawn_budget(rng, rng.randint(3, rows // 2)),
        "kills": sorted(rng.uniform(0.1, 4.0) for _ in range(rng.randint(0, 3))),
        "resumers": rng.randint(2, 3),
    }


def drawn_budget(rng, jobs):
    """Draw a limit of so many jobs in all, of one circuit each, if any."""
    limits = {
        "usd": PRICE * jobs,
        "per_user_usd": {"team": PRICE * jobs},
        "attempts": jobs,
        "shots": SHOTS * jobs,
    }
    name = rng.choice([None, None, *limits])
    return None if name is None else {name: limits[name]}


def sampler(folder, address, history, seed, *, budget):
    members = [
        Member(
            TimedBackend(folder / name, tags=True),
            limits=Limits(max_circuits=history["circuits"], max_in_flight=limit),
            pricing=Pricing(per_job=PRICE),
        )
        for name, limit in history["limits"].items()
    ]
    limits = None if budget is None else Budget(**budget, on_exhausted="stop")
    policy = Policy(budget=limits, share=Share(user=f"team/{seed}"))
    journal = Journal(address, clock=Clock(random.Random(seed)))
    return RouterSampler(Fleet(members), policy=policy, journal=journal)


def work(folder, address, history, seed):
    """Do two runs side by side."""
    router = sampler(folder, address, history, seed, budget=history["budget"])
    circuit = QuantumCircuit(BITS)
    for qubit, angle in enumerate(ParameterVector("a", BITS)):
        circuit.rx(angle, qubit)
    circuit.measure_all()
    angles = (np.arange(ROWS)[:, None] >> np.arange(BITS) & 1) * np.pi
    jobs = [router.run([(circuit, angles)], shots=SHOTS) for _ in range(2)]
    for job in jobs:
        try:
            job.result(PATIENCE_SECONDS)
        except GatewayError as error:
            if "the budget of" not in str(error):  # Nothing else may end a run.
                raise


def resume(folder, address, history, seed):
    """Take up whatever is not done, against a rival that does the same."""
    router = sampler(folder, address, history, seed, budget=None)
    for _ in range(2):
        for record in Journal(address).runs():
            if record.state == "done":
                continue
            try:
                job = router.resume(record.job_id)
            except JournalError as error:
                if "goes on in" not in str(error):
                    raise
                continue
            values = job.result(PATIENCE_SECONDS)[0].data.meas.array[..., 0]
            assert (values == np.arange(ROWS)[:, None]).all()


def lived(folder, address, history, rng):
    """Live through a history; return the laws that were broken."""
    pids = [forked(work, folder, address, history, rng.random()) for _ in range(PROCESSES)]
    began, broken = time.monotonic(), []
    for moment in history["kills"]:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        os.kill(rng.choice(pids), signal.SIGKILL)
    for pid in pids:
        status = os.waitpid(pid, 0)[1]
        if status and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            broken.append(f"a process ended with {status}")
    broken += list(overspent(history["budget"] or {}, jobs_of(folder)))
    pids = [
        forked(resume, folder, address, history, rng.random()) for _ in range(history["resumers"])
    ]
    broken += [f"taking up ended with {end}" for pid in pids if (end := os.waitpid(pid, 0)[1])]
    return broken + list(broken_in_the_end(folder, address, history))


def overspent(budget, jobs):
    """Tell of a budget that was not kept."""
    used = {
        "usd": PRICE * len(jobs),
        "per_user_usd": PRICE * len(jobs),
        "attempts": len(jobs),
        "shots": sum(SHOTS * len(one["values"]) for one in jobs),
    }
    for name, limit in budget.items():
        most = limit["team"] if isinstance(limit, dict) else limit
        if used[name] > most + 1e-9:
            yield f"{used[name]} of {most} {name} were used"


def broken_in_the_end(folder, address, history):
    """Go through the laws that were broken, once all is done."""
    journal = Journal(address)
    yield from (f"{one.job_id} is {one.state}" for one in journal.runs() if one.state != "done")
    jobs = jobs_of(folder)
    for name, limit in history["limits"].items():
        most = most_at_once(one for one in jobs if one["member"] == name)
        if most > limit:
            yield f"{name} had {most} jobs at once, and may have {limit}"
    sent = Counter((one["tags"][0][:36], value) for one in jobs for value in one["values"])
    yield from (f"{row} was sent {times} times" for row, times in sent.items() if times > 1)
    if len(sent) != ROWS * len(journal.runs()):
        yield f"{len(sent)} rows were sent of {ROWS * len(journal.runs())}"
    yield from (f"{one} is left reserved" for one in read_reservations(journal._database))
    paid = {"usd": PRICE * len(jobs), "usd for 'team'": PRICE * len(jobs)}
    paid |= {"attempts": len(jobs), "shots": sum(SHOTS * len(one["values"]) for one in jobs)}
    books = read_balances(journal._database)
    for account, amount in paid.items():
        if abs(books.get(account, 0.0) - amount) > 1e-9:
            yield f"the books say {books.get(account, 0.0)} {account}, and {amount} were paid"
    journal.close()


def jobs_of(folder):
    """Read all jobs that providers had."""
    return [
        json.loads(file.read_text()) | {"member": file.parent.name, "began": began_of(file)}
        for file in folder.glob("*/*.json")
    ]


def began_of(file):
    told = file.with_suffix(".began")
    # It was killed in between: the file was made as it began, but for a few milliseconds.
    return float(told.read_text()) if told.exists() else file.stat().st_mtime


def most_at_once(jobs):
    """Count the jobs that were there at the same time, at most."""
    changes = sorted(change for one in jobs for change in ((one["began"], 1), (one["ready"], -1)))
    at_once = most = 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    return most


def main(folder, seed, addresses):
    told = []
    for number, address in enumerate(addresses):
        rng = random.Random(f"{seed} {number}")
        place = folder / str(number)
        place.mkdir(parents=True)
        history = drawn(rng)
        broken = lived(place, address, history, rng)
        told.append({"broken": broken, "history": history, "jobs": len(jobs_of(place))})
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])

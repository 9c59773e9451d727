"""Small circuits whose outcomes are known, and what a backend's answers to them say about it.

The circuits are sent as the router would send them. The same raw answers are then read under each
adaptation, and the backend is adapted to only where exactly one simplest adaptation makes all of
them right. Backends may be noisy: an answer is right if the right outcome was seen most often,
and in at least half of the shots.

Invariant: an error that a backend raises is no lie. It is reported, and only what comes back
wrong without one is held against the backend.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from typing import Any, NamedTuple, Protocol

import numpy as np
from qiskit.quantum_info import SparseObservable

from qiskit_gateway.backends.examination.probes import (
    TRAITS,
    Question,
    make_lone_probe,
    make_required_probes,
    make_trait_probes,
)
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.interface.adaptation import Adaptation, Trait
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program, Wanted
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.readout.bit_mapping import Wiring
from qiskit_gateway.backends.readout.decode import tally
from qiskit_gateway.backends.readout.outcomes import Outcome, read

SHOTS = 100
"""Shots of each circuit, where the backend's limits allow."""

_TWO_WAYS = (
    "it answers a job of one circuit in another way than a job of several; "
    "a member with Limits(max_circuits=1) can be examined for the former"
)


class Answer(NamedTuple):
    """A provider's answer to a batch: its own result, and the wiring of each circuit."""

    result: Any
    wirings: Sequence[Wiring]


class Ask(Protocol):
    """Something that runs batches; a member's ``answer``."""

    def __call__(self, batch: Batch, *, flatten: bool) -> Answer:
        """Run a batch, with its circuits in single classical registers if ``flatten``. Blocks.

        Raises:
            BackendError: If the job failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found out about a backend.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it should be; ``None`` where it could not be told, or is no matter of
            right and wrong.
        seen: What was seen.
    """

    name: str
    ok: bool | None
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """The findings of a conformance check of a backend; printed, a table.

    Attributes:
        adaptation: How to talk to the backend so that its answers are right. With a
            ``refusal`` where there is no such way.
        findings: What was seen, circuit by circuit, read under that adaptation.
        name: The backend.
    """

    adaptation: Adaptation
    findings: tuple[Finding, ...]
    name: str = ""

    @property
    def refusal(self) -> str:
        """Reason why the backend cannot be trusted, or ``""`` if it can."""
        return self.adaptation.refusal

    @property
    def ok(self) -> bool:
        """Whether the backend can be used, as it is or with an adaptation."""
        return not self.refusal

    def __str__(self) -> str:
        words = {True: "ok", False: "WRONG", None: "-"}
        width = max((len(finding.name) for finding in self.findings), default=0)
        lines = [f"{self.name or 'backend'}: {self._verdict()}"]
        lines += [f"  {f.name:{width}}  {words[f.ok]:5}  {f.seen}" for f in self.findings]
        if self.adaptation != Adaptation():
            lines.append(f"  in a configuration file: adaptation = {self.adaptation.to_toml()}")
        return "\n".join(lines)

    def _verdict(self) -> str:
        if self.refusal:
            return f"refused, {self.refusal}"
        changes = [f"{name}={value!r}" for name, value in self.adaptation.changes.items()]
        return f"ok, adapted by {', '.join(changes)}" if changes else "ok"


def examine(ask: Ask, known: Adaptation, limits: Limits, *, shots: int = SHOTS) -> Conformance:
    """Run probe circuits, and find out how the answers of a backend have to be read. Blocks.

    Takes one job for the answers that have to be right, one of a single circuit, one for what not
    every backend can do, and more where a job fails or may not hold them all.

    Args:
        ask: Runs a batch.
        known: How the backend is read so far; kept where it makes everything right.
        limits: What one job may hold.
        shots: Shots of each circuit, as far as the limits allow.

    Raises:
        BackendError: If the backend could not be asked.
    """
    session = Session(ask, limits, shots_within(limits, shots))
    adaptation, jobs = _adaptation(session, known)
    judged = _judge(jobs, adaptation, session.shots)
    findings = [*judged, _several(jobs)]
    if not adaptation.refusal and findings[-1].ok:
        found = _ask(session, [make_lone_probe()], adaptation)
        findings += found
        if found[0].ok is False:
            adaptation = replace(known, refusal=_TWO_WAYS)
    if not adaptation.refusal:
        found = _ask(session, make_trait_probes(), adaptation)
        findings += found
        adaptation = replace(adaptation, unsound=known.unsound | _unsound(found))
    return Conformance(adaptation=adaptation, findings=tuple(findings))


def shots_within(limits: Limits, shots: int) -> int:
    """Bring a number of shots within the limits of a member."""
    return max(limits.min_shots or 1, min(shots, limits.max_shots or shots))


# How it is asked.


class _Job(NamedTuple):
    """Questions that one job answered, or one that no job could."""

    questions: Sequence[Question]
    result: Any = None
    wirings: Sequence[Wiring] = ()
    error: BackendError | None = None


class Session(NamedTuple):
    """Questions, asked in jobs that are within the limits of a member."""

    ask: Ask
    limits: Limits
    shots: int

    def put(self, questions: Sequence[Question], *, flatten: bool) -> list[_Job]:
        """Ask in as few jobs as there may be; where a job fails, each question alone."""
        return [job for part in self.parts(questions) for job in self._put(part, flatten=flatten)]

    def batch(self, questions: Sequence[Question]) -> Batch:
        """Make the job that asks some questions."""
        entries = tuple(
            Entry(
                program=Program(circuit=question.circuit, basis=question.basis),
                rows=question.rows,
                wanted=_expect(question),
            )
            for question in questions
        )
        return Batch(entries=entries, shots=self.shots, kept_shots=self.shots)

    def parts(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Divide questions into those of one job each."""
        part: list[Question] = []
        for question in self._split_to_fit(questions):
            circuits = sum(len(other.rows) for other in [*part, question])
            if part and circuits > (self.limits.max_circuits or circuits):
                yield part
                part = []
            part.append(question)
        yield part

    def _split_to_fit(self, questions: Sequence[Question]) -> Iterator[Question]:
        """Go through questions of which each fits a job."""
        for question in questions:
            if len(question.rows) <= (self.limits.max_circuits or len(question.rows)):
                yield question
                continue
            for row, expected in zip(question.rows, question.expected, strict=True):
                yield replace(question, rows=row[None], expected=(expected,))

    def _put(self, questions: Sequence[Question], *, flatten: bool) -> list[_Job]:
        try:
            answer = self.ask(self.batch(questions), flatten=flatten)
        except Refused as refused:
            left = [q for number, q in enumerate(questions) if number not in refused.reasons]
            jobs = [_Job([questions[number]], error=refused) for number in refused.reasons]
            return jobs + (self._put(left, flatten=flatten) if left else [])
        except BackendError as error:
            # An outage says nothing about the questions.
            if error.transient or error.throttled or error.authentication:
                raise
            if len(questions) == 1:
                return [_Job(questions, error=error)]
        else:
            return [_Job(questions, answer.result, answer.wirings)]
        return [job for one in questions for job in self._put([one], flatten=flatten)]


# What the answers say.


def _adaptation(session: Session, known: Adaptation) -> tuple[Adaptation, list[_Job]]:
    """Find the simplest adaptation under which all is right, and the answers that show it."""
    reason = ""
    jobs: list[_Job] = []
    for flatten in dict.fromkeys((known.flatten, True)):
        jobs = session.put(make_required_probes(), flatten=flatten)
        reason = _explain_silence(jobs)
        if reason:
            break
        readings = [replace(known, flatten=flatten, refusal="", **order) for order in _orders()]
        readings.sort(key=lambda reading: _complexity(reading, known))
        wrong = [_wrong(jobs, reading, session.shots) for reading in readings]
        right = [reading for reading, said in zip(readings, wrong, strict=True) if not said]
        if right and not _is_tied(right, known):
            return right[0], jobs
        if right:
            reason = "its answers can be read in several ways that all seem right"
            break
        reason = f"its answers are wrong in every reading: {wrong[0]}"
    return replace(known, refusal=reason), jobs


def _is_tied(readings: Sequence[Adaptation], known: Adaptation) -> bool:
    first, *others = (_complexity(reading, known) for reading in readings)
    return first in others


def _orders() -> Iterator[dict[str, Any]]:
    for registers, bits in product(("qiskit", "reversed"), repeat=2):
        yield {"register_order": registers, "bit_order": bits}


def _complexity(adaptation: Adaptation, known: Adaptation) -> int:
    """Measure how far an adaptation is from the expected one; what is known is expected."""
    if (adaptation.register_order, adaptation.bit_order, adaptation.flatten) == (
        known.register_order,
        known.bit_order,
        known.flatten,
    ):
        return 0
    return 1 + (adaptation.register_order != "qiskit") + (adaptation.bit_order != "qiskit")


def _explain_silence(jobs: Sequence[_Job]) -> str:
    """Give the reason why not one circuit can run on the backend, or ``""`` where one could.

    Raises:
        BackendError: If that may be for another reason than the circuits.
    """
    errors = [job.error for job in jobs if job.error is not None]
    if len(errors) < len(jobs):
        return ""
    for error in errors:
        if not isinstance(error, Refused):
            raise error
    return f"it can run none of the circuits of its check: {errors[0]}"


def _wrong(jobs: Sequence[_Job], adaptation: Adaptation, shots: int) -> str:
    judged = _judge(jobs, adaptation, shots)
    return next((f"{f.name}, {f.seen}" for f in judged if f.ok is False), "")


def _unsound(findings: Sequence[Finding]) -> frozenset[Trait]:
    wrong = {finding.name for finding in findings if finding.ok is False}
    # As sent, a bit is overwritten only where more is done after its first measurement.
    explained = {"overwritten"} if "mid-circuit" in wrong else set()
    return frozenset(trait for trait in TRAITS if trait in wrong - explained)


def _ask(session: Session, questions: Sequence[Question], adaptation: Adaptation) -> list[Finding]:
    jobs = session.put(questions, flatten=adaptation.flatten)
    return _judge(jobs, adaptation, session.shots)


def _judge(jobs: Sequence[_Job], adaptation: Adaptation, shots: int) -> list[Finding]:
    return [finding for job in jobs for finding in _judge_job(job, adaptation, shots)]


def _judge_job(job: _Job, adaptation: Adaptation, shots: int) -> Iterator[Finding]:
    if job.error is not None:
        (question,) = job.questions
        yield Finding(name=question.name, ok=None, seen=f"not answered: {job.error}")
        return
    outcomes = iter(read(job.result, list(map(adaptation.adapt_wiring, job.wirings)), shots))
    for question in job.questions:
        own = list(islice(outcomes, len(question.expected)))
        answers = [
            compare(outcome, expected, question.circuit.num_clbits)
            for outcome, expected in zip(own, question.expected, strict=True)
        ]
        right = all(ok for ok, _ in answers)
        yield Finding(name=question.name, ok=right, seen="; ".join(seen for _, seen in answers))


def _expect(question: Question) -> tuple[Wanted, ...]:
    """Want the product of all that a basis measures."""
    basis = question.basis
    if basis is None:
        return ()
    make = partial(_observables, basis)
    return (Wanted(rows=len(question.rows), size=1, make=make),)


def _observables(basis: str) -> list[SparseObservable]:
    return [SparseObservable(basis)]


def compare(outcome: Outcome, expected: int, num_bits: int) -> tuple[bool, str]:
    """Compare an outcome with the expected one, and describe it."""
    if outcome.error is not None:
        return False, str(outcome.error)
    if outcome.evs is not None:
        (value,), parity = outcome.evs, (-1) ** expected.bit_count()
        seen = f"{value:.2f} where {parity} is right"
        return bool(value * parity > 0), seen  # It may be noisy, but points the right way.
    ((patterns, counts),) = tally([outcome], partial(np.random.default_rng, 0))
    most = int(counts.argmax())
    found, count, shots = int(patterns[most, 0]), int(counts[most]), int(counts.sum())
    seen = f"{found:0{num_bits}b} in {count} of {shots} shots"
    if found == expected and 2 * count >= shots:
        return True, seen
    return False, f"expected {expected:0{num_bits}b}, got {seen}"


def _several(jobs: Sequence[_Job]) -> Finding:
    most = max(len(job.wirings) for job in jobs)
    return Finding(
        name="circuits in a job",
        ok=True if most > 1 else None,
        seen=f"{most} at once, in order" if most > 1 else "one at a time",
    )

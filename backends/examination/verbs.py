"""Examine a member of any class through the attributes and verbs that the router uses.

The circuits are those that a backend is examined with, so that what is right is known. Each mistake
is told with the verb that made it; one that a member reports itself, as a ``BackendError``, is none.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from numbers import Real
from typing import Any, TypeVar

from qiskit_gateway.arguments import is_flag
from qiskit_gateway.backends.examination.examiner import Finding, Session, compare
from qiskit_gateway.backends.examination.probes import (
    Question,
    make_basis_probe,
    make_lone_probe,
    make_required_probes,
)
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import FleetMember, Handle
from qiskit_gateway.backends.pricing.rates import Usage
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.backends.readout.validation import require_outcomes

T = TypeVar("T")

_VERBS = ("submit", "collect", "cancel", "reattach")


class _MistakeError(Exception):
    """A verb broke the rules of its protocol."""


def examine_attributes(member: Any) -> Iterator[Finding]:
    """Look at all that can be told of a member without sending anything."""
    missing = [name for name in (*_ATTRIBUTES, "refusal", *_VERBS) if not _has(member, name)]
    if missing:
        yield Finding(name="attributes", ok=False, seen=f"it has no {', '.join(missing)}")
        return
    for name, (is_right, wanted) in _ATTRIBUTES.items():
        try:
            value = getattr(member, name)
        except Exception as error:  # noqa: BLE001  It is told.
            yield Finding(name=name, ok=False, seen=f"{name} raised {text_of(error)}")
            continue
        if not is_right(value):
            yield Finding(name=name, ok=False, seen=f"{name} must be {wanted}, it is {value!r:.80}")


def _has(member: Any, name: str) -> bool:
    try:
        return hasattr(member, name)
    except Exception:  # noqa: BLE001  It has one, which raises.
        return True


async def examine_verbs(member: FleetMember, shots: int) -> list[Finding]:
    """Run circuits with known outcomes by the verbs of a member, and look at what each does.

    Raises:
        BackendError: If the member could not be asked, for an outage say.
    """
    try:
        asked = [*make_required_probes(), make_basis_probe()]
        taken = [one for one in asked if not _ask_refusal(member, one, shots)]
        session = Session(_ask_nobody, member.limits, shots)
        findings: list[Finding] = []
        for part in session.parts(taken) if taken else ():
            findings += await _examine_questions(member, session, part)
        if any(one.ok for one in findings) and not _ask_refusal(member, make_lone_probe(), shots):
            findings += await _examine_questions(member, session, [make_lone_probe()])
            findings.append(await _examine_kept_shots(member, session))
            findings += await _examine_job_control(member, session)
    except _MistakeError as mistake:
        return [Finding(name=str(mistake.args[0]), ok=False, seen=str(mistake.args[1]))]
    if not findings:
        return [Finding(name="refusal", ok=None, seen="it refuses all circuits of the check")]
    return findings


def _ask_nobody(batch: Batch, *, flatten: bool) -> Any:
    raise NotImplementedError  # The verbs are asynchronous: they are asked here, not by a session.


def _ask_refusal(member: FleetMember, question: Question, shots: int) -> str:
    program = Program(circuit=question.circuit, basis=question.basis)
    try:
        reason = member.refusal(program, shots, {})
    except Exception as error:
        raise _MistakeError("refusal", f"refusal() raised {text_of(error)}") from error
    if not isinstance(reason, str):
        raise _MistakeError("refusal", f"refusal() returned {reason!r:.80}, not a text")
    return reason


async def _ask(verb: str, asking: Callable[[], Awaitable[T]]) -> T:
    """Ask a member something; all that it may raise is told from what it may not."""
    try:
        return await asking()
    except BackendError:
        raise
    except Exception as error:
        may = "only BackendError and Refused may come out of it"
        raise _MistakeError(verb, f"{verb}() raised {text_of(error)}; {may}") from error


async def _submit(member: FleetMember, batch: Batch) -> Handle:
    handle: object = await _ask("submit", lambda: member.submit(batch))
    if not isinstance(handle, Handle):
        raise _MistakeError("submit", f"submit() returned {handle!r:.80}, not a Handle")
    if not isinstance(handle.job_id, str):
        raise _MistakeError(
            "submit", f"submit() returned a job_id that is no text: {handle.job_id!r}"
        )
    return handle


async def _collect(member: FleetMember, handle: Handle, batch: Batch) -> Sequence[Outcome]:
    given = await _ask("collect", lambda: member.collect(handle))
    try:
        return require_outcomes(
            given,
            batch.widths,
            batch.kept_shots,
            verb="collect()",
            observables=batch.observables,
        )
    except BackendError as error:
        raise _MistakeError("collect", str(error)) from error


async def _examine_questions(
    member: FleetMember, session: Session, part: Sequence[Question]
) -> list[Finding]:
    """Ask questions in one job; where that fails, each alone."""
    batch = session.batch(part)
    try:
        outcomes = iter(await _collect(member, await _submit(member, batch), batch))
    except BackendError as error:
        # An outage says nothing about the questions.
        if error.transient or error.throttled or error.authentication:
            raise
        if len(part) == 1:
            return [Finding(name=part[0].name, ok=None, seen=f"not answered: {error}")]
        if isinstance(error, Refused):
            _require_places(error, len(part))
        return [found for one in part for found in await _examine_questions(member, session, [one])]
    findings = []
    for question in part:
        own = islice(outcomes, len(question.expected))
        answers = [
            compare(outcome, expected, outcome.num_bits)
            for outcome, expected in zip(own, question.expected, strict=True)
        ]
        seen = "; ".join(text for _, text in answers)
        findings.append(Finding(name=question.name, ok=all(ok for ok, _ in answers), seen=seen))
    return findings


def _require_places(refused: Refused, entries: int) -> None:
    if not refused.reasons or not all(place in range(entries) for place in refused.reasons):
        places = sorted(refused.reasons)
        said = f"submit() raised Refused with reasons for entries {places} of {entries}"
        raise _MistakeError("submit", f"{said}; they are counted from 0")


async def _examine_kept_shots(member: FleetMember, session: Session) -> Finding:
    """Ask for more shots than are wanted, as where a member has a minimum."""
    kept = max(1, session.shots // 2)
    batch = replace(session.batch([make_lone_probe()]), kept_shots=kept)
    try:
        (outcome,) = await _collect(member, await _submit(member, batch), batch)
    except BackendError as error:
        return Finding(name="kept shots", ok=None, seen=f"not answered: {error}")
    if outcome.error is not None:
        return Finding(name="kept shots", ok=False, seen=str(outcome.error))
    seen = f"{outcome.shots} of the {kept} that are wanted of {batch.shots}"
    return Finding(name="kept shots", ok=outcome.shots == kept, seen=seen)


async def _examine_job_control(member: FleetMember, session: Session) -> list[Finding]:
    """Ask for a job by its id, and to cancel one that may be over."""
    batch = session.batch([make_lone_probe()])
    handle = await _submit(member, batch)
    findings = [await _find_again(member, handle, batch)]
    try:
        answer: object = await _ask("cancel", lambda: member.cancel(handle))
    except BackendError as error:
        findings.append(Finding(name="cancel", ok=None, seen=f"not answered: {error}"))
    else:
        said = f"cancel() returned {answer!r:.80}" + ("" if is_flag(answer) else ", no bool")
        findings.append(Finding(name="cancel", ok=is_flag(answer), seen=said))
    return findings


async def _find_again(member: FleetMember, handle: Handle, batch: Batch) -> Finding:
    try:
        found: object = await _ask("reattach", lambda: member.reattach(handle.job_id))
        if not isinstance(found, Handle):
            raise _MistakeError("reattach", f"reattach() returned {found!r:.80}, not a Handle")
        (outcome,) = await _collect(member, replace(found, batch=batch), batch)
    except BackendError as error:
        return Finding(name="reattach", ok=None, seen=f"does not find a job again: {error}")
    (expected,) = make_lone_probe().expected
    ok, seen = compare(outcome, expected, outcome.num_bits)
    return Finding(name="reattach", ok=ok, seen=seen)


# -- what attributes must be -------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_price(value: Any) -> bool:
    """Check whether a tariff answers an amount; an error counts as no answer."""
    try:
        price = value(Usage(circuits=1, shots=100, seconds=1.0))
        return _is_number(price) and 0 <= price < float("inf")
    except Exception:  # noqa: BLE001
        return False


_ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: isinstance(value, str) and bool(value), "a text that is not empty"),
    "limits": (lambda value: isinstance(value, Limits), "Limits"),
    "pricing": (_is_price, "a function from a Usage to an amount in USD, 0 or more"),
    "weight": (lambda value: _is_number(value) and 0 < value < float("inf"), "positive"),
    "tags": (
        lambda value: isinstance(value, frozenset) and all(isinstance(one, str) for one in value),
        "a frozenset of texts",
    ),
    "fidelity": (
        lambda value: value is None or (_is_number(value) and 0 <= value <= 1),
        "None or in [0, 1]",
    ),
    "overlaps": (is_flag, "True or False"),
}

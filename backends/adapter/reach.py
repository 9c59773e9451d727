"""Ask members for a sign of life, without sending a job."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from inspect import getattr_static
from typing import Any

import anyio

from qiskit_gateway.backends.adapter.queues import QueueWatch, can_be_read
from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.interface.queue_reading import QueueReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Answer of a member that was asked for a sign of life.

    Attributes:
        reachable: It answered, or not; ``None`` where there is nothing to ask without sending a job.
        why: What is wrong, or what there is to say of it; else empty.
        queue: What was read of its queue.
    """

    reachable: bool | None
    why: str = ""
    queue: QueueReading = field(default_factory=QueueReading)


def reach_members(
    members: Iterable[FleetMember], *, timeout_seconds: float = 10.0
) -> dict[str, Reach]:
    """Ask members how they are, side by side. Blocks, and sends no job.

    Args:
        members: The members.
        timeout_seconds: How long each may take over an answer.

    Returns:
        The answers, by member.
    """
    everyone = list(members)

    async def ask_all() -> dict[str, Reach]:
        readings = await _read_once(everyone, timeout_seconds)
        answers = {name: _reach_of(reading) for name, reading in readings.items()}
        async with anyio.create_task_group() as group:
            for member in everyone:
                if answers[member.name].reachable is not False:
                    group.start_soon(_ask_state, member, answers, timeout_seconds)
        return answers

    return anyio.run(ask_all)


async def _read_once(
    members: Iterable[FleetMember], timeout_seconds: float
) -> dict[str, QueueReading | None]:
    readings: dict[str, QueueReading | None] = {member.name: None for member in members}
    asked = [member for member in members if can_be_read(member)]
    waiting = {member.name for member in asked}
    if not asked:
        return readings
    with anyio.CancelScope() as scope:

        def note(name: str, reading: QueueReading) -> None:
            readings[name] = reading
            waiting.discard(name)
            if not waiting:
                scope.cancel()

        await QueueWatch().watch(
            asked, note, interval_seconds=math.inf, timeout_seconds=timeout_seconds
        )
    return readings


def _reach_of(reading: QueueReading | None) -> Reach:
    if reading is None:
        return Reach(reachable=None)
    if reading.known:
        return Reach(reachable=True, queue=reading)
    return Reach(reachable=reading.answered, why=reading.error, queue=reading)


async def _ask_state(
    member: FleetMember, answers: dict[str, Reach], timeout_seconds: float
) -> None:
    backend, none = getattr(member, "backend", None), object()
    if getattr_static(type(backend), "status", none) is none:
        return
    state: Any = None
    with anyio.move_on_after(timeout_seconds):
        state = await call_in_thread(lambda: _state_of(backend))
    if state is not None:
        answers[member.name] = replace(answers[member.name], reachable=True)
    if getattr(state, "operational", None) is False:
        said = redact(str(getattr(state, "status_msg", "") or ""))
        why = f"is not in operation{f': {said}' if said else ''}"
        answers[member.name] = Reach(reachable=False, why=why, queue=answers[member.name].queue)


def _state_of(backend: Any) -> Any:
    try:
        return backend.status()
    except (Exception, SystemExit):  # noqa: BLE001  The reading of the queue tells what is wrong.
        return None

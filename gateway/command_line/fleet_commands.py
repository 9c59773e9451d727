"""``check`` and ``members``: what a configuration file says, and whether it holds."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio

from qiskit_gateway.backends.adapter.reach import Reach, reach_members
from qiskit_gateway.backends.conformance import check_member
from qiskit_gateway.backends.examination.examiner import Conformance
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.member_facts import (
    class_of,
    collect_facts,
    limits_of,
    price_of,
    qubits_of,
    source_of,
)
from qiskit_gateway.backends.pricing.rates import FREE
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember
from qiskit_gateway.command_line.endings import EndingError, ExitCode
from qiskit_gateway.command_line.screen import note, say, show_json, show_table, span
from qiskit_gateway.config_file.loader import Config, load_config

_STATES = {True: "yes", False: "NO", None: "not asked"}
_NOT_ASKED = "not asked: there is nothing to ask without sending a job, as --backends does"


def check_file(
    file: Path, *, backends: bool, only: Sequence[str], sure: bool, json: bool
) -> ExitCode:
    """Check a configuration, and whether its members answer.

    Args:
        file: The configuration.
        backends: Examine how members read bits, which sends them a few small jobs.
        only: The members to examine; all if there are none.
        sure: Do not ask before jobs are sent that cost something.
        json: Print JSON.

    Raises:
        ConfigError: If the file cannot be used.
        EndingError: If a member is not there, or nobody said that jobs may cost something.
    """
    config = load_config(file)
    chosen = _choose_members(config.fleet, only)
    if backends:
        _ask_for_money(chosen, sure=sure)
    reach = reach_members(config.fleet)
    bits = _examine(chosen) if backends else {}
    well = all(one.reachable is not False for one in reach.values())
    well = well and all(isinstance(one, Conformance) and one.ok for one in bits.values())
    if json:
        show_json(_check_facts(file, config, reach, bits, well=well))
    else:
        _show_check(file, config, reach, bits)
    return ExitCode.DONE if well else ExitCode.CANNOT


def list_members(file: Path, *, queue: bool, json: bool) -> ExitCode:
    """List the members of a configuration.

    Args:
        file: The configuration.
        queue: Ask the members how long their queues are.
        json: Print JSON.

    Raises:
        ConfigError: If the file cannot be used.
    """
    fleet = load_config(file).fleet
    reach = reach_members(fleet) if queue else {}
    if json:
        show_json([_collect_member_facts(member, reach) for member in fleet])
        return ExitCode.DONE
    heads = ["member", "class", "price", "tags"]
    numbers = ["qubits", "weight", "fidelity"]
    if queue:
        numbers += ["wait", "pending"]
    rows = [_member_row(member, reach) for member in fleet]
    show_table([*heads, *numbers], rows, numbers=len(numbers))
    _list_below([(name, one.why) for name, one in reach.items() if one.why])
    return ExitCode.DONE


def _member_row(member: FleetMember, reach: dict[str, Reach]) -> list[str]:
    fidelity = "?" if member.fidelity is None else f"{member.fidelity:.3f}"
    cells = [
        *(member.name, class_of(member), price_of(member), _tags(member)),
        *(qubits_of(member), f"{member.weight:g}", fidelity),
    ]
    if reach:
        queue = reach[member.name].queue
        cells.append("?" if queue.wait_seconds is None else span(queue.wait_seconds))
        cells.append("?" if queue.pending_jobs is None else f"{queue.pending_jobs:g}")
    return cells


def _tags(member: FleetMember) -> str:
    return ", ".join(sorted(member.tags)) or "-"


# -- what a check says -----------------------------------------------------------------------


def _show_check(
    file: Path, config: Config, reach: dict[str, Reach], bits: dict[str, Conformance | str]
) -> None:
    say(f"{file} is right: {len(config.fleet)} members\n")
    heads = ["member", "class", "limits of a job", "tariff", "tags", "reachable"]
    heads += ["bits"] if bits else []
    rows = []
    for member in config.fleet:
        row = [member.name, class_of(member), limits_of(member.limits), price_of(member)]
        row += [_tags(member), _reach_word(member, reach)]
        row += [_bits_word(bits.get(member.name))] if bits else []
        rows.append([*row, qubits_of(member)])
    show_table([*heads, "qubits"], rows, numbers=1)
    remarks = [(name, one.why) for name, one in reach.items() if one.why]
    if any(one.reachable is None for one in reach.values()) and not bits:
        remarks.append(("", _NOT_ASKED))
    _list_below(remarks)
    _list_below([("", source) for source in _sources(config.fleet)], "published tariffs")
    for name, found in bits.items():
        say(f"\n{name}: {found}" if isinstance(found, str) else f"\n{found}")
    say(f"\npolicy: {config.policy}")
    say(f"budget: {config.policy.budget or 'none'}")
    say(f"journal: {config.journal or 'none; runs do not outlive the process'}")


def _reach_word(member: FleetMember, reach: dict[str, Reach]) -> str:
    if isinstance(member, SimulatedMember):
        return "simulated"
    return _STATES[reach[member.name].reachable]


def _check_facts(
    file: Path,
    config: Config,
    reach: dict[str, Reach],
    bits: dict[str, Conformance | str],
    *,
    well: bool,
) -> dict[str, Any]:
    members = [_collect_member_facts(member, reach) for member in config.fleet]
    for one in members:
        if one["name"] in bits:
            one["bits"] = _collect_bits_facts(bits[one["name"]])
    return {
        "file": str(file),
        "ok": well,
        "members": members,
        "policy": repr(config.policy),
        "journal": config.journal,
    }


def _collect_member_facts(member: FleetMember, reach: dict[str, Reach]) -> dict[str, Any]:
    facts = collect_facts(member)
    if member.name in reach:
        found = reach[member.name]
        facts |= {
            "reachable": found.reachable,
            "why": found.why,
            "wait_seconds": found.queue.wait_seconds,
            "pending_jobs": found.queue.pending_jobs,
        }
    return facts


def _sources(fleet: Fleet) -> list[str]:
    return list(dict.fromkeys(filter(None, (source_of(member.pricing) for member in fleet))))


def _list_below(lines: Iterable[tuple[str, str]], head: str = "") -> None:
    found = [f"{name}: {text}" if name else text for name, text in lines]
    if found:
        say()
        if head:
            say(f"{head}:")
        for line in found:
            say(f"  {line}" if head else line)


# -- the examination of bits -----------------------------------------------------------------


def _choose_members(fleet: Fleet, only: Sequence[str]) -> list[FleetMember]:
    strangers = [name for name in only if name not in fleet]
    if strangers:
        raise EndingError(
            f"there is no member {strangers[0]!r}; there are {', '.join(fleet.names)}",
            ExitCode.USAGE,
        )
    return [member for member in fleet if not only or member.name in only]


def _ask_for_money(members: Iterable[FleetMember], *, sure: bool) -> None:
    paid = [
        member.name
        for member in members
        if member.pricing != FREE and not isinstance(member, SimulatedMember)
    ]
    if sure or not paid:
        return
    question = f"about five small jobs would be sent to {', '.join(paid)}, which cost money"
    if not sys.stdin.isatty():
        raise EndingError(f"{question}; nothing was sent: add --yes if they may", ExitCode.USAGE)
    note(f"{question}. Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise EndingError("nothing was sent", ExitCode.USAGE)


def _examine(members: Iterable[FleetMember]) -> dict[str, Conformance | str]:
    found: dict[str, Conformance | str] = {}
    for member in members:
        if isinstance(member, SimulatedMember):
            continue  # All its bits are 0, which is all that it promises.
        note(f"examining {member.name} ...")
        try:
            found[member.name] = anyio.run(check_member, member)
        except (BackendError, Refused) as error:
            found[member.name] = f"could not be asked: {error}"
    return found


def _bits_word(found: Conformance | str | None) -> str:
    if found is None:
        return "-"
    if isinstance(found, str):
        return "NOT ASKED"
    changed = found.adaptation.changes
    return ("adapted" if changed else "right") if found.ok else "WRONG"


def _collect_bits_facts(found: Conformance | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"ok": None, "refusal": found}
    return {
        "ok": found.ok,
        "refusal": found.refusal,
        "adaptation": found.adaptation.to_toml(),
        "findings": found.findings,
    }

"""Speeds of members in the journal, learned from the jobs of all processes."""

import json
from collections.abc import Mapping

from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.storage.database import Database, Statements, reading
from qiskit_gateway.work.speed_evidence import Moments, SpeedEvidence

# Devices are calibrated anew, and change hands: what is so old counts half.
_HALF_LIFE_SECONDS = 7 * 86_400.0
# What counts less than this part of a job is forgotten: one job after twenty weeks.
_LEAST_WEIGHT = 1e-6
# No sum of squares of shots is as large; products of what is larger would be infinite.
_MOST = 1e60
_ROUNDING = 1e-9
_COLUMNS = "seen, jobs, least_seconds, doubt, sums"


def read_speeds(database: Database, now: float) -> dict[str, SpeedEvidence]:
    """Read what was learned of each member, as much as it counts by now.

    Args:
        database: The journal's.
        now: Seconds since 1970.

    Raises:
        JournalError: If it cannot be read.
    """
    rows = database.query(f"SELECT member, {_COLUMNS} FROM speeds")  # noqa: S608  A constant.
    found = {str(member): _read_evidence(database, row, now) for member, *row in rows}
    return {name: one for name, one in found.items() if one.weight >= _LEAST_WEIGHT}


def add_speeds(database: Database, learned: Mapping[str, SpeedEvidence], now: float) -> None:
    """Add what was learned to what other processes have written down.

    Args:
        database: The journal's.
        learned: What the jobs of each member taught since this was last called.
        now: Seconds since 1970.
    """
    with database.transaction() as connection:
        for member, fresh in learned.items():
            _add(database, connection, member, fresh, now)
    database.count_written(0)


def _add(
    database: Database, connection: Statements, member: str, fresh: SpeedEvidence, now: float
) -> None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM speeds WHERE member = ?",  # noqa: S608  A constant.
        (member,),
    ).fetchone()
    try:
        known = SpeedEvidence() if row is None else _read_evidence(database, row, now)
    except JournalError:
        known = SpeedEvidence()  # What cannot be read is no use to anybody.
    whole = known.combine_with(fresh)
    connection.execute(
        f"INSERT INTO speeds (member, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) "  # noqa: S608
        "ON CONFLICT (member) DO UPDATE SET seen = excluded.seen, jobs = excluded.jobs, "
        "least_seconds = excluded.least_seconds, doubt = excluded.doubt, sums = excluded.sums",
        (
            *(member, now, whole.jobs, whole.least_seconds, whole.doubt),
            json.dumps([*whole.moments, *whole.targets]),
        ),
    )


def _read_evidence(database: Database, row: tuple[object, ...], now: float) -> SpeedEvidence:
    with reading(f"what {database.name} says of members' speeds"):
        seen, jobs, least_seconds, doubt, text = row
        m11, m21, m22, m31, m32, m33, *targets = (
            _read_amount(number) for number in json.loads(str(text))
        )
        t1, t2, t3 = targets
        written = SpeedEvidence(
            jobs=int(_read_amount(jobs)),
            moments=(m11, m21, m22, m31, m32, m33),
            targets=(t1, t2, t3),
            least_seconds=_read_amount(least_seconds),
            doubt=_read_amount(doubt),
        )
        _check(written.moments)
        return written.fade(0.5 ** (max(0.0, now - _read_amount(seen)) / _HALF_LIFE_SECONDS))


def _check(moments: Moments) -> None:
    """Check that numbers may be the sums of products that they are said to be."""
    m11, m21, m22, m31, m32, m33 = moments
    most = 1 + _ROUNDING
    pairs = ((m21, m11, m22), (m31, m11, m33), (m32, m22, m33))
    if not all(one > 0 < two and both <= most * (one * two) ** 0.5 for both, one, two in pairs):
        raise ValueError("these are no sums over jobs")


def _read_amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.50} is no number")
    number = float(value)
    if not 0 <= number < _MOST:
        raise ValueError(f"{value!r:.50} is no amount")
    return number

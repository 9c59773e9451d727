"""Health and queues of members in the journal, found by one process and told to the others.

It holds the last that any run found of a member. How old it is is told by the clock that nobody
sets, as the database knows it.
"""

import json

from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.journal.storage.database import Database, reading
from qiskit_gateway.work.record.run_log import Sighting


def write_sighting(database: Database, party: str, sighting: Sighting) -> None:
    """Write down what was found of a member, in place of what was found before.

    What was found later stays: it may take long until something can be written.
    """
    place, now = database.uptime()
    database.execute(
        "INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, member) DO UPDATE SET "
        "party = excluded.party, place = excluded.place, at = excluded.at, facts = excluded.facts "
        "WHERE sightings.place <> excluded.place OR sightings.at <= excluded.at",
        (
            *(sighting.kind, sighting.member, party),
            *(place, now - sighting.age_seconds, redact(json.dumps(sighting.facts))),
        ),
    )


def read_sightings(database: Database, party: str) -> list[Sighting]:
    """Read what others have found.

    What was written before the machine was started anew is of no known age, and left out.

    Raises:
        JournalError: If it cannot be read.
    """
    place, now = database.uptime()
    rows = database.query(
        "SELECT kind, member, at, facts, party FROM sightings "
        "WHERE party <> ? AND place = ? AND at <= ?",
        (party, place, now),
    )
    with reading(f"what {database.name} says of members"):
        return [
            Sighting(
                kind=kind,
                member=member,
                age_seconds=now - at,
                facts={**json.loads(facts)},
                mark=(at, theirs),
            )
            for kind, member, at, facts, theirs in rows
        ]

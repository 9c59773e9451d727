"""What one process found of a member is told to the others, with its age by a clock that nobody sets."""

import pytest
from journals import SPEC

from qiskit_gateway import Journal, JournalError
from qiskit_gateway.journal.sightings import read_sightings


@pytest.fixture
def journal(journal_place):
    opened = Journal(journal_place)
    yield opened
    opened.close()


def test_others_are_told_the_last_that_was_found(journal):
    """Each kind and member once, with its age; one's own findings are no news."""
    uptime = ["boot", 100.0]
    journal._database.uptime = lambda: tuple(uptime)
    ours, theirs = (journal.begin(name, SPEC, 5, party=name) for name in ("ours", "theirs"))
    ours.record_sighting("queue", "a", {"wait_seconds": 5.0, "pending_jobs": None})
    theirs.record_sighting("queue", "b", {"wait_seconds": 1.0, "pending_jobs": None})
    uptime[1] = 110.0
    theirs.record_sighting("queue", "b", {"wait_seconds": 2.0, "pending_jobs": 3})
    theirs.record_sighting("health", "b", {"ejected": False})
    uptime[1] = 117.5

    found = {one.kind: one for one in read_sightings(journal._database, "ours")}

    assert found.keys() == {"queue", "health"}
    assert found["queue"].member == "b"
    assert found["queue"].facts == {"wait_seconds": 2.0, "pending_jobs": 3}
    assert found["queue"].age_seconds == pytest.approx(7.5)
    theirs.record_sighting("queue", "b", {"wait_seconds": 2.0, "pending_jobs": 3})
    again = {one.kind: one for one in read_sightings(journal._database, "ours")}
    assert again["queue"].mark != found["queue"].mark
    assert again["health"].mark == found["health"].mark


def test_what_is_written_late_is_as_old_as_it_is(journal):
    """It stands in nobody's place who has found something since."""
    uptime = ["boot", 100.0]
    journal._database.uptime = lambda: tuple(uptime)
    theirs, others = (journal.begin(name, SPEC, 5, party=name) for name in ("theirs", "others"))
    others.record_sighting("queue", "a", {"wait_seconds": 1.0})
    uptime[1] = 200.0
    theirs.record_sighting("queue", "a", {"wait_seconds": 2.0}, age_seconds=150.0)
    theirs.record_sighting("queue", "b", {"wait_seconds": 3.0}, age_seconds=150.0)
    found = {one.member: one for one in read_sightings(journal._database, "ours")}
    assert (found["a"].facts["wait_seconds"], found["a"].age_seconds) == (1.0, 100.0)
    assert found["b"].age_seconds == 150.0


def test_what_an_earlier_boot_found_is_of_no_known_age(journal):
    """Nor is what is later than now."""
    journal._database.uptime = lambda: ("boot", 100.0)
    journal.begin("theirs", SPEC, 5, party="theirs").record_sighting(
        "health", "a", {"ejected": False}
    )
    for later in (("another boot", 200.0), ("boot", 3.0)):
        journal._database.uptime = lambda later=later: later
        assert read_sightings(journal._database, "ours") == []


def test_a_finding_that_cannot_be_read_is_told(journal):
    """Whatever somebody wrote there."""
    journal.begin("theirs", SPEC, 5, party="theirs").record_sighting(
        "health", "a", {"ejected": False}
    )
    journal._database.execute("UPDATE sightings SET facts = '[1'")
    with pytest.raises(JournalError, match="says of members cannot be read"):
        read_sightings(journal._database, "ours")


def test_no_secret_is_told(journal):
    """The reason of an ejection is what a provider said, and may hold anything."""
    theirs = journal.begin("theirs", SPEC, 5, party="theirs")
    theirs.record_sighting(
        "health", "a", {"ejected": True, "wait_seconds": 1, "reason": "token=abcdef123456"}
    )
    assert "abcdef123456" not in str(read_sightings(journal._database, "ours"))

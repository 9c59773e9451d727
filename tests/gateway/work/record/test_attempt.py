import json

import pytest

from qiskit_gateway import Attempt, AttemptOutcome, Report
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.run_log import outcome_of

TEXTS = ["running", "done", "short", "failed", "refused", "unknown", "cancelled"]


def attempt(outcome):
    return Attempt(shard=0, member="m", number=1, pieces=(), circuits=1, shots=9, outcome=outcome)


def test_an_outcome_is_its_text():
    """Programs compare, print and store outcomes as the texts that they have been all along."""
    assert [*AttemptOutcome] == TEXTS
    for text in TEXTS:
        outcome = attempt(text).outcome
        assert outcome is AttemptOutcome(text)
        assert {text: 1}[outcome]
        assert f"{outcome}" == text


def test_a_report_as_plain_data_holds_plain_texts():
    """No class of ours is in it, which a writer of YAML or a comparison of types would meet."""
    report = Report(job_id="j", seconds=1.0, attempts=tuple(map(attempt, TEXTS)))
    told = [one["outcome"] for one in report.to_dict()["attempts"]]
    assert told == TEXTS
    assert {type(one) for one in told} == {str}
    assert [one["outcome"] for one in json.loads(json.dumps(report.to_dict()))["attempts"]] == TEXTS


def test_what_is_no_outcome_is_refused():
    """A misspelt outcome would be counted nowhere."""
    with pytest.raises(ValueError, match="'finished'"):
        attempt("finished")


@pytest.mark.parametrize("state", [*TEXTS, "intended", "accepted", "arrived"])
def test_a_journal_tells_how_an_attempt_ended(state):
    """Every text that journals have ever held is read; without an end its fate is unknown."""
    assert outcome_of(state) == (state if state in TEXTS else "unknown")


def test_a_state_that_no_release_has_written_is_told():
    """It is an error of the journal, and says what stands there."""
    with pytest.raises(JournalError, match="'exploded'"):
        outcome_of("exploded")

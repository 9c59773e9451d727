"""One journal is one ledger: what all runs of it spend together is within the budget."""

import subprocess
import sys
import textwrap

import pytest

from qiskit_gateway import Journal

SPEND = textwrap.dedent("""
    import sys
    from qiskit import QuantumCircuit
    from qiskit.providers.basic_provider import BasicSimulator
    from qiskit_gateway import GatewayError, RouterSampler
    from qiskit_gateway.backends import Limits, Member, Pricing
    from qiskit_gateway.policies import Budget, Policy, Share

    circuit = QuantumCircuit(1)
    circuit.measure_all()
    _, user, *journals = sys.argv
    for journal, limit in zip(journals[::2], journals[1::2]):
        member = Member(
            BasicSimulator(), name="one", pricing=Pricing(per_job=10), limits=Limits(max_circuits=1)
        )
        policy = Policy(
            budget=Budget(**eval(limit)), share=Share(user=user), deadline_seconds=60
        )
        job = RouterSampler(member, journal=journal, policy=policy).run([circuit] * 2, shots=10)
        try:
            job.result(timeout=100)
        except GatewayError as error:
            print(error)
""")
USERS = ("chem/ana", "chem/ben", "chem")
LIMITS = {
    "per_day_usd": (20.0, "20 usd on day"),
    "usd": (20.0, "20 usd"),
    "per_member_usd": ({"one": 20.0}, "20 usd of one"),
    "per_user_usd": ({"chem": 20.0}, "20 usd for 'chem'"),
    "per_user_day_usd": ({"chem": 20.0}, "20 usd on day"),
    "shots": (20, "20 shots"),
    "attempts": (2, "2 attempts"),
}


@pytest.mark.parametrize(
    ("kind", "at_once"), [("sqlite", True), ("sqlite", False), ("postgres", True)]
)
def test_processes_share_a_budget(request, tmp_path, kind, at_once):
    """Three processes that each have work for two jobs send two of one journal together, and say why."""
    places = {limit: str(tmp_path / limit) for limit in LIMITS}
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        places = {limit: server.new_database() for limit in LIMITS}
    pairs = [
        text
        for limit, place in places.items()
        for text in (place, f"{{{limit!r}: {LIMITS[limit][0]}}}")
    ]
    said, running = [], []
    for user in USERS:
        command = [sys.executable, "-c", SPEND, user, *pairs]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))  # noqa: S603
        if not at_once:
            said.append(running.pop().communicate(timeout=120)[0])
    said += [process.communicate(timeout=120)[0] for process in running]

    for limit, place in places.items():
        spent = Journal(place).ledger().spent
        assert (spent["usd"], spent["shots"], spent["attempts"]) == (20, 20, 2), limit
        told = [f"the budget of {LIMITS[limit][1]}" in one for one in said]
        assert any(told) if at_once else told == [False, True, True], limit

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
    from qiskit_gateway.policies import Budget, Policy

    circuit = QuantumCircuit(1)
    circuit.measure_all()
    member = Member(
        BasicSimulator(), name="one", pricing=Pricing(per_job=10), limits=Limits(max_circuits=1)
    )
    policy = Policy(budget=Budget(**eval(sys.argv[2])), deadline_seconds=60)
    job = RouterSampler(member, journal=sys.argv[1], policy=policy).run([circuit] * 2, shots=10)
    try:
        job.result(timeout=100)
    except GatewayError as error:
        print(error)
""")


@pytest.mark.parametrize("limit", ["per_day_usd", "usd", "per_member_usd"])
@pytest.mark.parametrize("at_once", [True, False])
def test_processes_share_a_budget(tmp_path, limit, at_once):
    """Three processes that each have work for 20 USD spend 20 of one journal together, and say why."""
    usd = "{'one': 20.0}" if limit == "per_member_usd" else "20.0"
    command = [sys.executable, "-c", SPEND, tmp_path / "journal", f"{{'{limit}': {usd}}}"]
    said, running = [], []
    for _ in range(3):
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))  # noqa: S603
        if not at_once:
            said.append(running.pop().communicate(timeout=120)[0])
    said += [process.communicate(timeout=120)[0] for process in running]

    spent = [run.spent_usd for run in Journal(tmp_path / "journal").runs()]

    assert sum(spent) == pytest.approx(20)
    assert sum("the budget of 20 usd" in one for one in said) >= 1
    if not at_once:
        assert said[0] == ""
        assert all("the budget of 20 usd" in one for one in said[1:])

"""What a run has used is the sum over the jobs that providers took."""

from qiskit import QuantumCircuit

from qiskit_gateway import Attempt, RouterSampler
from qiskit_gateway.backends import Limits, Pricing, SimulatedMember
from qiskit_gateway.reporting.report import Report
from qiskit_gateway.reporting.usage import sum_up_usage
from qiskit_gateway.work.tasks import Piece


def attempt(number, **facts):
    piece = Piece(0, 0, 2, 0, 10)
    return Attempt(
        shard=number, member="a", number=1, pieces=(piece,), circuits=2, shots=10, **facts
    )


def report(*attempts, seconds=100.0):
    return Report(job_id="j", seconds=seconds, attempts=attempts)


def test_jobs_that_were_taken_count_and_others_do_not():
    """Failed jobs count, refused ones do not; machine time is of the jobs whose start was told."""
    used = sum_up_usage(
        report(
            attempt(
                0, accepted_seconds=1.0, started_seconds=5.0, finished_seconds=8.0, price_usd=1
            ),
            attempt(1, accepted_seconds=1.0, finished_seconds=9.0, price_usd=2, charged=True),
            attempt(2, accepted_seconds=1.0, started_seconds=60.0, outcome="running"),
            attempt(3, outcome="refused"),
        )
    )

    assert (used.jobs, used.circuits, used.shots) == (3, 6, 60)
    assert (used.seconds, used.jobs_timed) == (43.0, 2)
    assert (used.price_usd, used.charged_usd) == (3, 2)
    assert str(used) == (
        "3 jobs, 6 circuits, 60 shots, machine time 43.0 s (of 2 jobs), 3.0000 USD, "
        "2.0000 USD charged"
    )


def test_nothing_was_told_of_machine_time():
    """Where no provider tells when a job began, the time is unknown, and not the queue's."""
    used = sum_up_usage(report(attempt(0, accepted_seconds=1.0, finished_seconds=9.0)))
    assert (used.seconds, used.jobs_timed) == (None, 0)
    assert "machine time not told" in str(used)
    assert sum_up_usage(report()).jobs == 0


def test_a_job_tells_its_usage():
    """It is the usage of its report."""
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    member = SimulatedMember(
        "a", pricing=Pricing(per_job=0.25), limits=Limits(max_circuits=2), job_seconds=0.01
    )
    job = RouterSampler([member]).run([circuit] * 4, shots=5)
    job.result(60)
    assert (job.usage().jobs, job.usage().shots, job.usage().price_usd) == (2, 20, 0.5)
    assert job.usage() == sum_up_usage(job.report())

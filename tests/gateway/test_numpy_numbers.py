"""Settings may be given as numbers of NumPy, or as fractions, and are then what they would be as Python's."""

from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import Journal, RouterEstimator, RouterSampler, simulate
from qiskit_gateway.arguments import make_plain
from qiskit_gateway.backends import (
    Allowance,
    Charge,
    Fleet,
    Hqc,
    Limits,
    Member,
    Pricing,
    SimulatedMember,
    Speed,
    tariff,
)
from qiskit_gateway.backends.scripted import Fails, Hangs, ScriptedBackend, Short
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Deadline,
    MaxDataAge,
    MaxFailureRate,
    MaxPrice,
    MaxWait,
    MinFidelity,
    Policy,
    Price,
    RetryPolicy,
    Scaled,
    Share,
    WorkShare,
    cheapest,
    fastest,
)
from tests.small_circuits import ones, rotated

PATIENCE_SECONDS = 60
KINDS = (np.float32, np.float16, np.int64, np.uint8, Fraction)


def settings(kind):
    """Return what may be set to ``2``, in a number of one kind."""
    two = kind(2)
    whole = np.int64(2) if kind is not Fraction else 2
    return [
        Pricing(per_shot=two, per_job=two),
        Hqc(usd_per_hqc=two),
        Allowance(meter=Pricing(), amount=two, period=two, usd_per_unit=two, used=two),
        Charge(usd=two, shots=whole),
        Limits(max_shots=whole),
        Speed(job_seconds=two),
        Budget(usd=two, per_member_usd={"a": two}, per_run_shots=whole),
        Policy(deadline_seconds=two, submit_seconds=two, patience_seconds=two),
        RetryPolicy(max_attempts=whole, wait_initial_seconds=two),
        BreakerPolicy(failures=whole, eject_seconds=two),
        Share(user="ana", weight=two, priority=whole),
        WorkShare({"a": two}),
        Scaled(two, Price()),
        Fails(retry_after_seconds=two, throttled=np.True_),
        Hangs(seconds=two),
        *(kind_of(two) for kind_of in (MaxPrice, MaxWait, Deadline, MaxDataAge)),
        *(kind_of(kind(1)) for kind_of in (MinFidelity, MaxFailureRate)),
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_settings_hold_numbers_of_python(kind):
    """Each is equal to the one made with Python's numbers, and says the same."""
    for one, plain in zip(settings(kind), settings(int), strict=True):
        values = [getattr(one, field.name) for field in fields(one)]
        flat = [v for value in values for v in (value.values() if type(value) is dict else [value])]
        assert not any(isinstance(value, np.generic | Fraction) for value in flat), one
        assert one == plain


def test_what_is_no_number_stays_as_it_is():
    """Only numbers are changed; one that no float holds is left for the checks to refuse."""
    huge = Fraction(10**400)
    made = Hangs()
    for value in (huge, None, "2", made):
        object.__setattr__(made, "seconds", value)
        make_plain(made)
        assert made.seconds is value
    with pytest.raises(ValueError, match="amount must be zero or more and finite"):
        Allowance(meter=Pricing(), amount=huge)


def test_a_fraction_of_the_shots_is_one_in_any_precision():
    """A half is no number of shots for being NumPy's."""
    assert Short(np.float32(0.5)) == Short(0.5)
    assert Short(np.int64(5)) == Short(5)


@pytest.mark.parametrize("kind", [np.float32, np.float64, Fraction])
def test_runs_are_written_down_whatever_their_numbers(tmp_path, kind):
    """Prices and times of any kind go into a journal, and out of it."""
    member = Member(
        ScriptedBackend(BasicSimulator(), [Hangs("result", kind(1) / 8)]),
        name="a",
        weight=kind(2),
        pricing=Pricing(per_job=kind(2), per_second=kind(1)),
        speed=Speed(job_seconds=kind(1)),
        queue=lambda: kind(0),
        limits=Limits(max_circuits=np.int32(1)),
    )
    budget = Budget(usd=kind(100), per_user_usd={"ana": kind(50)}, attempts=np.int16(9))
    policy = cheapest(
        budget=budget, deadline_seconds=kind(600), share=Share(user="ana", weight=kind(2))
    )
    journal = Journal(tmp_path / "journal.db")
    sampler = RouterSampler(Fleet([member]), policy=policy, journal=journal)

    job = sampler.run([ones()] * 2, shots=np.int64(50))

    found = job.result(timeout=kind(PATIENCE_SECONDS))
    assert [pub.data.meas.get_counts() for pub in found] == [{"1": 50}] * 2
    (run,) = journal.runs()
    assert run.spent_usd == pytest.approx(job.report().price_usd)
    assert run.spent_usd > 4


def test_estimates_take_options_of_any_kind(tmp_path):
    """Also where the options are written down."""
    options = {"default_precision": Fraction(1, 16), "abelian_grouping": np.False_}
    estimator = RouterEstimator(BasicSimulator(), options=options, journal=tmp_path / "journal.db")

    found = estimator.run([(rotated(), "ZZ", [np.float32(0.5)])]).result(timeout=PATIENCE_SECONDS)

    assert found[0].data.evs == pytest.approx(1.0)
    assert found[0].metadata["target_precision"] == 1 / 16


@pytest.mark.parametrize("kind", [np.float16, np.float32, Fraction])
def test_a_simulation_ends_whatever_its_numbers(kind):
    """A clock in single precision would stand still where a tick is less than it can tell."""

    def told(number):
        member = SimulatedMember(
            "a",
            queue_seconds=number(100),
            job_seconds=number(1),
            shot_seconds=number(1) / 128,
            failure_rate=number(1) / 4,
            outages=[(number(300), number(400))],
            fidelity=number(1) / 2,
            told=np.True_,
            seed=np.int64(3),
            limits=Limits(max_circuits=2),
        )
        return simulate(Fleet([member]), [ones()] * 8, shots=100, policy=fastest(), seed=1)

    assert told(kind).makespan_seconds == told(float).makespan_seconds


def test_flags_of_tariffs_may_be_of_numpy():
    """A comparison of arrays answers NumPy's truth values."""
    same = [tariff("braket:iqm_garnet", program_sets=flag).pricing for flag in (True, np.True_)]
    assert same[0] == same[1]

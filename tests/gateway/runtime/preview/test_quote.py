"""A quote is what the run then does, and asking for one changes nothing."""

import json
from copy import deepcopy
from html.parser import HTMLParser

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import Quote, RouterEstimator, RouterSampler, RunError, simulate
from qiskit_gateway.backends import (
    Fleet,
    Limits,
    Member,
    Pricing,
    QueueReading,
    ScriptedBackend,
    SimulatedMember,
    Speed,
)
from qiskit_gateway.backends.scripted import Fails
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    MaxWait,
    MinFidelity,
    Named,
    Tagged,
    balanced,
    cheapest,
    failover,
    fastest,
    least_busy,
    most_faithful,
    round_robin,
    weighted,
)
from qiskit_gateway.policies.breaker import BreakerState
from qiskit_gateway.primitives.sampler import _plan
from qiskit_gateway.reporting.report import Report
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.notifications.logs import silent_logger
from qiskit_gateway.runtime.preview.virtual_clock import JumpingLoop, work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.tasks import Load


def sweep(rows, qubits=1):
    """A PUB of that many circuits."""
    angle = Parameter("t")
    circuit = QuantumCircuit(qubits)
    circuit.rx(angle, 0)
    circuit.measure_all()
    return circuit, np.linspace(0, 1, rows)[:, None]


def counted():
    """A backend that counts its calls."""
    return ScriptedBackend(BasicSimulator())


def amounts(rows):
    """Jobs, circuits, shots and price by member, of a report or of a quote."""
    return {
        name: (row["jobs"], row["circuits"], row["shots"], pytest.approx(row["price_usd"]))
        for name, row in rows.items()
        if row["jobs"]
    }


def as_rows(quote):
    return {member["member"]: member for member in quote.to_dict()["members"]}


# -- a quote is what the run does ----------------------------------------------------------------


def model(draw, name):
    """A member that does the same at the same time each time."""
    # Of few binary digits, so that sums are exact, wherever a clock begins.
    seconds = st.sampled_from([0.0, 2**-10, 0.5, 3.0])
    return SimulatedMember(
        name,
        limits=Limits(
            max_circuits=draw(st.sampled_from([None, 1, 3, 10])),
            max_shots=draw(st.sampled_from([None, 50, 1000])),
            max_in_flight=draw(st.sampled_from([None, 1, 2])),
        ),
        pricing=Pricing(
            per_job=draw(st.sampled_from([0.0, 0.3])),
            per_shot=draw(st.sampled_from([0.0, 0.001])),
            per_1q_gate_shot=draw(st.sampled_from([0.0, 0.001])),
        ),
        queue_seconds=draw(st.sampled_from([0.0, 60.0])),
        job_seconds=draw(seconds),
        circuit_seconds=draw(seconds),
        fidelity=draw(st.sampled_from([None, 0.9, 0.99])),
    )


def run_virtually(sampler, pubs):
    """Run PUBs as the sampler would, over the members themselves, on a clock that jumps."""
    coerced = [SamplerPub.coerce(pub, sampler.default_shots) for pub in pubs]
    work = sampler._router.prepare(_plan(coerced, sampler.options)[0], sampler.fleet)
    alone = Environment(in_thread=work_at_once, log=silent_logger())
    run = Run("run", sampler.fleet, sampler.policy, work, environment=alone)
    anyio.run(run.execute, backend_options={"loop_factory": JumpingLoop})
    return run


@given(st.data())
@settings(max_examples=60)
def test_a_run_does_what_was_quoted(data):
    """For members without randomness jobs, circuits, shots, price and times agree exactly."""
    members = [model(data.draw, name) for name in ("a", "b", "c")]
    made = data.draw(
        st.sampled_from(
            [
                cheapest,
                fastest,
                least_busy,
                most_faithful,
                round_robin,
                weighted,
                failover,
                balanced,
            ]
        )
    )
    policy = made(
        # Not "shots": those cuts follow the speeds learned, to the last digit of the clock.
        spread=data.draw(st.sampled_from(["rows", "pubs"])),
        budget=Budget(
            usd=data.draw(st.sampled_from([1e6, 2.0])),
            on_exhausted=data.draw(st.sampled_from(["move", "stop"])),
        ),
        deadline_seconds=data.draw(st.sampled_from([None, 100.0])),
    )
    pubs = [sweep(data.draw(st.integers(1, 12))) for _ in range(data.draw(st.integers(1, 3)))]
    seed = data.draw(st.sampled_from([None, 7]))
    options = {"seed_simulator": seed, "default_shots": 100}
    does_what_was_quoted(RouterSampler(Fleet(members), policy=policy, options=options), pubs)


def does_what_was_quoted(sampler, pubs):
    """Compare a quote with a run that follows it."""
    quote = sampler.quote(pubs)
    run = run_virtually(sampler, pubs)

    report = Report(job_id="run", seconds=run.seconds, attempts=tuple(run.record))
    assert amounts(as_rows(quote)) == amounts(report.members)
    assert quote.price_usd == pytest.approx(report.price_usd)
    assert quote.makespan_seconds == pytest.approx(run.seconds, abs=1e-6)
    # In which order jobs that are cancelled together end is the loop's affair.
    left = sorted(one.piece for one in quote.not_done)
    assert left == sorted(one.piece for one in run.ended.given_up)


def test_a_run_does_what_was_quoted_where_jobs_end_together():
    """Jobs of three members that end at one time are heard of in the same order in both."""
    members = [
        SimulatedMember("a", job_seconds=0.5, circuit_seconds=0.5),
        SimulatedMember("b", limits=Limits(max_shots=50, max_in_flight=1), job_seconds=3.0),
        SimulatedMember("c", circuit_seconds=0.5),
    ]
    sampler = RouterSampler(
        Fleet(members), policy=round_robin(spread="rows"), options={"default_shots": 100}
    )
    does_what_was_quoted(sampler, [sweep(5), sweep(9), sweep(5)])


@pytest.mark.parametrize("policy", [cheapest(), failover(), round_robin(), weighted({"b": 3})])
def test_a_run_on_a_real_clock_does_what_was_quoted(policy):
    """Where the choice does not go by times, the run of the very same sampler agrees."""
    members = [
        SimulatedMember(
            name,
            job_seconds=0.02,
            limits=Limits(max_circuits=4, max_in_flight=1),
            pricing=Pricing(per_job=0.3, per_shot=rate),
        )
        for name, rate in (("a", 0.002), ("b", 0.001), ("c", 0.003))
    ]
    sampler = RouterSampler(members, policy=policy, options={"seed_simulator": 7})
    pubs = [sweep(10), sweep(7)]

    quote = sampler.quote(pubs, shots=50)
    job = sampler.run(pubs, shots=50)
    job.result()

    assert amounts(as_rows(quote)) == amounts(job.report().members)
    assert quote.price_usd == pytest.approx(job.report().price_usd)


def test_the_times_are_those_of_the_model():
    """Start and finish are the queue's end, and that plus what the jobs take, one by one."""
    member = SimulatedMember(
        "a",
        queue_seconds=600,
        job_seconds=5,
        circuit_seconds=2,
        limits=Limits(max_circuits=10, max_in_flight=1),
    )

    quote = RouterSampler(member).quote([sweep(10)], shots=100)

    assert quote["a"].start_seconds == pytest.approx(600)
    assert quote["a"].finish_seconds == pytest.approx(600 + 5 + 20)
    assert quote.makespan_seconds == pytest.approx(625)
    assert quote["a"].speed == "simulated"


def test_a_run_over_backends_costs_what_was_quoted():
    """Real backends are priced by their own circuits, and the run sends as many."""
    line = GenericBackendV2(4, coupling_map=[[0, 1], [1, 2], [2, 3]], seed=2, noise_info=True)
    tariff = Pricing(per_job=1, per_1q_gate_shot=0.001, per_2q_gate_shot=0.01)
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.cx(1, 2)
    circuit.measure_all()
    members = [
        Member(line, name="line", pricing=tariff, limits=Limits(max_circuits=3)),
        Member(BasicSimulator(), name="dear", pricing=Pricing(per_shot=100)),
    ]
    sampler = RouterSampler(members, policy=cheapest())
    pubs = [circuit] * 8

    quote = sampler.quote(pubs, shots=20)
    job = sampler.run(pubs, shots=20)
    job.result()

    assert quote["line"].jobs == 3
    assert amounts(as_rows(quote)) == amounts(job.report().members)
    assert quote["line"].speed == "durations"
    assert 0.5 < quote["line"].fidelity < 1
    assert quote["dear"].fidelity is None


def test_an_estimator_quotes_its_bases():
    """Circuits and shots are those of the bases, as the run has them."""
    member = Member(BasicSimulator(), name="a", pricing=Pricing(per_shot=0.01))
    estimator = RouterEstimator(member, options={"default_precision": 0.1})
    circuit = QuantumCircuit(2)
    circuit.h(0)
    pubs = [(circuit, ["XX", "ZZ", "ZI"])]

    quote = estimator.quote(pubs)
    job = estimator.run(pubs)
    job.result()

    assert (quote.circuits, quote.shots) == (2, 200)
    assert amounts(as_rows(quote)) == amounts(job.report().members)
    assert estimator.quote(pubs, precision=0.2).shots == 50


def test_what_was_learned_of_speed_is_quoted():
    """After a run, times come from what its jobs took."""
    sampler = RouterSampler(Member(counted(), name="a"))
    assert sampler.quote([sweep(20)]).members[0].speed == "assumed"
    sampler.run([sweep(20)], shots=100).result()
    assert sampler.quote([sweep(20)]).members[0].speed == "learned"


def test_a_told_speed_is_quoted_until_jobs_are_seen():
    """Times come from what was told, and the quote says so; then from what its jobs took."""
    speed = Speed(job_seconds=5.0, circuit_seconds=2.0)
    sampler = RouterSampler(Member(counted(), name="a", speed=speed))

    quote = sampler.quote([sweep(20)])
    job = sampler.run([sweep(20)], shots=100)
    job.result()

    assert quote.makespan_seconds == pytest.approx(45.0)
    assert quote["a"].speed == quote["a"].estimate.source == "told"
    assert quote.to_dict()["members"][0]["estimate"]["job_seconds"] == 5.0
    assert "times are as told beforehand: a" in str(quote)
    assert sampler.quote([sweep(20)])["a"].speed == "learned"
    assert job.report().speeds["a"].source == "seen"
    assert job.report().to_dict()["speeds"]["a"]["jobs"] == 1


def test_a_quote_says_what_was_guessed_of_the_others():
    """A member that nobody knows is thought to be like those that are known."""
    members = [
        SimulatedMember("a", job_seconds=3.0, circuit_seconds=1.0, told=True),
        SimulatedMember("b", job_seconds=3.0, circuit_seconds=1.0),
    ]

    quote = RouterSampler(members).quote([sweep(20)])

    assert [quote[name].estimate.source for name in "ab"] == ["told", "guess"]
    assert quote["b"].estimate.job_seconds == 3.0
    assert [one.speed for one in quote.members] == ["simulated", "simulated"]


def test_a_quote_says_what_others_of_the_provider_take():
    """A member of which nothing is known is planned, and timed, as others of its provider are."""

    kind = type("Device", (BasicSimulator,), {"__module__": "iqm.devices"})
    members = [
        Member(kind(), name="known", speed=Speed(job_seconds=30.0)),
        Member(kind(), name="new"),
        Member(BasicSimulator(), name="else", speed=Speed(circuit_seconds=1.0)),
    ]

    quote = RouterSampler(members, policy=failover("new", "known", "else")).quote([sweep(20)])

    assert quote["new"].speed == quote["new"].estimate.source == "peers"
    assert quote["new"].finish_seconds == pytest.approx(30.0)
    assert quote["new"].estimate.times_off > quote["known"].estimate.times_off
    assert quote.why()["new"].source == "peers"
    assert "times are those of others of the same provider: new" in str(quote)
    assert "(as others of its provider take; off by 2.5 times)" in str(quote["new"].estimate)


def test_a_told_fleet_is_planned_at_once():
    """Where all is told no job is sent only to learn: two members end together, in a job each."""
    members = [
        SimulatedMember("a", job_seconds=10.0, circuit_seconds=1.0, told=True),
        SimulatedMember("b", job_seconds=10.0, circuit_seconds=3.0, told=True),
    ]

    quote = RouterSampler(members).quote([sweep(20)])

    assert quote.makespan_seconds <= 27


@pytest.mark.parametrize("number", [1, 8])
def test_a_queue_in_seconds_is_no_empty_one_under_least_busy(number):
    """Whatever it is told in, the run, the quote and the simulation send nothing to the longest."""
    one_each = Limits(max_circuits=1)

    def members():
        return [
            Member(counted(), name="long", queue=lambda: 1000.0, limits=one_each),
            Member(counted(), name="idle", queue=lambda: 0.0, limits=one_each),
        ]

    def models():
        return [
            SimulatedMember("long", queue_seconds=1000, job_seconds=1, limits=one_each),
            SimulatedMember("idle", job_seconds=1, limits=one_each),
        ]

    job = RouterSampler(members(), policy=least_busy()).run([sweep(1)] * number, shots=10)
    job.result()
    shares = [
        job.report().members.keys(),
        {one.member for one in simulate(models(), [sweep(1)] * number, policy=least_busy()).shards},
        *(
            {
                one.member
                for one in RouterSampler(made, policy=least_busy())
                .quote([sweep(1)] * number)
                .members
                if one.jobs
            }
            for made in (members(), models())
        ),
    ]

    assert shares == [{"idle"}] * 4


def test_a_queue_in_jobs_is_a_wait_in_a_quote():
    """Jobs of others are thought to take as long as ours, until their wait is told or learned."""
    member = Member(
        counted(),
        name="a",
        queue=lambda: QueueReading(pending_jobs=6),
        speed=Speed(job_seconds=10.0),
    )

    quote = RouterSampler(member).quote([sweep(3)])

    assert quote["a"].start_seconds == pytest.approx(60.0)
    assert quote.makespan_seconds == pytest.approx(70.0)


# -- what stands against a run -------------------------------------------------------------------


def test_what_does_not_fit_the_budget_is_said():
    """The part within the budget is quoted, and the rest told with the reason."""
    member = SimulatedMember("a", pricing=Pricing(per_shot=0.01), limits=Limits(max_circuits=1))
    sampler = RouterSampler(member, policy=fastest(budget=Budget(usd=25)))

    quote = sampler.quote([sweep(40)], shots=100)

    assert quote.price_usd == pytest.approx(25)
    assert (quote["a"].shots, quote.shots, quote.shots_not_done) == (2500, 4000, 1500)
    assert "budget of 25 usd" in str(quote)
    with pytest.raises(RunError):
        sampler.run([sweep(40)], shots=100).result()
    spent = sampler.quote([sweep(40)], shots=100)
    assert (spent.price_usd, spent.shots_not_done) == (0, 4000)


def test_what_is_late_for_the_deadline_is_said():
    """What would not be back by the deadline is not done."""
    member = SimulatedMember("a", circuit_seconds=10, limits=Limits(max_circuits=1))
    quote = RouterSampler(member, policy=fastest(deadline_seconds=45)).quote([sweep(10)])
    assert quote.shots_not_done > 0
    assert "deadline" in str(quote)


@pytest.mark.parametrize(
    ("member", "where", "reason"),
    [
        (SimulatedMember("b", num_qubits=1), None, "needs 2 qubits, has 1"),
        (SimulatedMember("b"), Named("a"), "only 'a' may be used"),
        (SimulatedMember("b"), Tagged("free"), "tags (none) hold none of 'free'"),
        (SimulatedMember("b", fidelity=0.5), MinFidelity(0.9), "fidelity 0.5 is below 0.9"),
        (SimulatedMember("b", queue_seconds=90), MaxWait(60), "wait of 90 s is above 60 s"),
    ],
)
def test_members_that_are_ruled_out_have_their_reasons(member, where, reason):
    """A refusal or a filter's verdict stands by the member, and others do the work."""
    one = SimulatedMember("a", tags=["free"], fidelity=0.99)
    policy = fastest() if where is None else fastest(where=where)

    quote = RouterSampler([one, member], policy=policy).quote([sweep(5, qubits=2)])

    assert (quote["b"].jobs, quote["a"].circuits) == (0, 5)
    assert quote["b"].reasons == (reason,)
    assert f"b: {reason}" in str(quote)
    assert quote.not_done == ()


def test_work_that_can_run_nowhere_is_quoted_as_such():
    """No member may take it: nothing would be sent, and the reasons are there."""
    quote = RouterSampler(SimulatedMember("a", num_qubits=1)).quote([sweep(3, qubits=2)])
    assert (quote.jobs, quote.price_usd, quote.shots_not_done) == (0, 0, 3 * 1024)
    assert "needs 2 qubits, has 1" in str(quote)


def test_a_quote_does_not_wait_for_what_does_not_come():
    """Work that waits for a shorter queue is told as not done, and the quote comes at once."""
    member = SimulatedMember("a", queue_seconds=600)
    quote = RouterSampler(member, policy=fastest(where=MaxWait(60))).quote([sweep(3)])
    assert quote.shots_not_done == 3 * 1024
    assert "wait of 600 s is above 60 s" in str(quote)


def test_an_empty_run_is_quoted_as_nothing():
    """No PUBs, no jobs."""
    quote = RouterSampler(SimulatedMember("a")).quote([])
    assert (quote.jobs, quote.shots, quote.price_usd, quote.makespan_seconds) == (0, 0, 0, 0)


@pytest.mark.parametrize("pubs", [3, [(*sweep(2), -5)], ["nonsense"]])
def test_bad_input_fails_as_in_a_run(pubs):
    """What run() refuses, quote() refuses in the same way."""
    sampler = RouterSampler(SimulatedMember("a"))
    errors = []
    for ask in (sampler.run, sampler.quote):
        with pytest.raises((TypeError, ValueError)) as caught:
            ask(pubs)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


# -- asking changes nothing ----------------------------------------------------------------------


def test_nothing_is_sent():
    """No backend is called, by neither primitive, whatever the policy."""
    backends = [counted(), counted()]
    members = [
        Member(backends[0], name="a", pricing=Pricing(per_2q_gate_shot=0.01)),
        Member(backends[1], name="b", pricing=Pricing(per_second=1)),
    ]
    for policy in (fastest(), cheapest(), balanced(usd_per_infidelity=1), failover()):
        RouterSampler(members, policy=policy).quote([sweep(30)])
        RouterEstimator(members, policy=policy).quote([(QuantumCircuit(2), ["XX", "ZZ"])])
    assert [backend.calls for backend in backends] == [(), ()]


def test_what_is_known_of_the_fleet_stays():
    """Speed, health, queues and accounts are after a quote what they were before."""
    flaky = Member(ScriptedBackend(BasicSimulator(), then=Fails()), name="flaky")
    priced = Member(counted(), name="sound", pricing=Pricing(per_shot=0.001))
    budget = Budget(usd=100)
    policy = round_robin(budget=budget, breaker=BreakerPolicy(submit_errors=1))
    sampler = RouterSampler(Fleet([flaky, priced]), policy=policy)
    sampler.run([sweep(6)], shots=10).result()
    known = sampler.fleet.keep(FleetState)

    def state():
        ledgers = [(account.ledger, repr(account.numbers)) for account in known.accounts.values()]
        return repr((known.members, known.ejected, known.unhealthy, known.queue.listeners, ledgers))

    before = deepcopy(state())
    quote = sampler.quote([sweep(50)], shots=10)

    assert state() == before
    assert (quote["flaky"].jobs, quote["sound"].circuits) == (0, 50)
    assert quote["flaky"].reasons
    assert sampler.quote([sweep(50)], shots=10) == quote


def test_members_are_compiled_for_once():
    """What a quote has compiled, the run sends."""
    backend = GenericBackendV2(3, seed=1)
    sampler = RouterSampler(Member(backend, name="a"))
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    sampler.quote([circuit])
    made = sampler.fleet["a"]._isa._programs._values
    ready = [prepared for _, prepared in made.values()]
    sampler.run([circuit], shots=10).result()
    assert [prepared for _, prepared in made.values()] == ready


def test_a_quote_can_be_asked_for_within_a_running_loop():
    """As in a notebook; and while a run over the same fleet goes on."""
    slow = SimulatedMember("a", job_seconds=0.3, limits=Limits(max_in_flight=1))
    sampler = RouterSampler(slow)

    async def main():
        job = sampler.run([sweep(3)])
        await anyio.sleep(0.05)
        quote = sampler.quote([sweep(3)])
        await job
        return quote

    quote = anyio.run(main)
    assert quote["a"].circuits == 3
    assert quote.not_done == ()


def test_queues_are_read_for_a_quote():
    """A member's queue is asked for once, and the start quoted is its end."""
    asked = []

    def queue():
        asked.append(1)
        return 1800.0

    backend = counted()
    sampler = RouterSampler(Member(backend, name="a", queue=queue))
    quote = sampler.quote([sweep(3)])
    assert quote["a"].start_seconds == pytest.approx(1800)
    assert (len(asked), backend.calls) == (1, ())


def test_what_other_runs_have_in_flight_is_waited_for():
    """Jobs of ours on a member are ahead of those that are quoted, as long as they should take."""
    sampler = RouterSampler(Member(counted(), name="a", pricing=Pricing(per_shot=0.01)))
    state = sampler.fleet.keep(FleetState).of("a")

    def another_run():
        state.speed.observe(10, 1000, 50.0)
        state.take("other", Load(100, 10_000), anyio.current_time())

    ENGINE.call(another_run)
    quote = sampler.quote([sweep(10)], shots=100)

    assert quote["a"].start_seconds == pytest.approx(500, rel=0.1)
    assert quote["a"].finish_seconds == pytest.approx(550, rel=0.1)
    assert list(state.in_flight) == ["other"]


def test_a_probe_of_another_run_does_not_hold_up_a_quote():
    """Whether a member is well again is found out by the quote's own jobs."""
    sampler = RouterSampler(Member(counted(), name="a"))
    known = sampler.fleet.keep(FleetState)
    probing = BreakerState(phase="half-open", probing=True)

    def another_run():
        known.of("a").breaker = probing
        known.unhealthy.add("a")

    ENGINE.call(another_run)

    assert sampler.quote([sweep(10)])["a"].circuits == 10
    assert known.of("a").breaker == probing


# -- how it is shown -----------------------------------------------------------------------------


def shown():
    fleet = [
        SimulatedMember("cheap & slow", queue_seconds=7300, pricing=Pricing(per_shot=0.001)),
        SimulatedMember("<script>alert(1)</script>", fidelity=0.5, num_qubits=1),
    ]
    return RouterSampler(fleet, policy=cheapest()).quote([sweep(12, qubits=2)], shots=500)


def test_the_table_is_aligned():
    """Every line of the table is as wide as the others, and the total stands last."""
    lines = str(shown()).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[3].split() == ["total", "1", "12", "6000", "6.0000", "2.0", "h"]
    assert "needs 2 qubits, has 1" in lines[4]


def test_the_table_fits_a_terminal_and_reasons_have_lines_of_their_own():
    """Names that are too long lose their middle; each reason is told once, below what it is about."""
    long, other = "provider/" + "x" * 80 + "/one", "provider/" + "x" * 80 + "/other"
    fleet = [
        SimulatedMember(long, num_qubits=1),
        SimulatedMember(other, pricing=Pricing(per_shot=1.0)),
    ]
    policy = cheapest(budget=Budget(usd=3000))
    quote = RouterSampler(fleet, policy=policy).quote([sweep(12, qubits=2)], shots=500)

    lines = str(quote).splitlines()
    page = Texts(quote._repr_html_())

    assert max(map(len, lines[:4])) <= 92
    assert lines[1].startswith("provider")
    assert lines[1].split()[0].endswith("/one")
    assert lines[2].split()[0].endswith("/other")
    assert lines[4:6] == [
        "not done: 6000 of 6000 shots",
        "  pub 0, rows 0 to 11, 500 shots each",
    ]
    assert sum("needs 2 qubits, has 1" in line for line in lines) == 1
    assert f"    {long}: needs 2 qubits, has 1" in lines
    assert {line.strip() for line in lines[4:]} <= set(page.texts)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 s"),
        (1e-9, "0 s"),
        (0.0004, "0.4 ms"),
        (0.0125, "12.5 ms"),
        (0.7, "700 ms"),
        (0.99996, "1.0 s"),
        (59.96, "60.0 s"),
        (119.0, "119.0 s"),
        (119.97, "2.0 min"),
        (3599.99, "1.0 h"),
        (3600.0, "1.0 h"),
        (90_000.0, "25.0 h"),
    ],
)
def test_times_read_well(seconds, told):
    """No time is told in powers of ten, nor as a thousand of a unit where there is a larger one."""
    quote = Quote(members=(), price_usd=0.0, makespan_seconds=seconds, circuits=0, shots=0)
    assert " ".join(str(quote).split()[-2:]) == told


class Texts(HTMLParser):
    """The tags of a page, and what stands between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_says_the_same_and_is_escaped():
    """Names of members are text and nothing else, and every tag is closed."""
    quote = shown()
    page = Texts(quote._repr_html_())
    assert page.open == []
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.texts
    for line in str(quote).splitlines()[1:4]:
        assert page.tags.count("tr") == 4
        assert all(word in "".join(page.texts) for word in line.split("  ")[0].split())


def test_a_quote_is_plain_data():
    """It goes through JSON and comes back the same."""
    quote = shown()
    plain = quote.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["members"][0]["price_usd"] == pytest.approx(6.0)
    assert isinstance(quote, Quote)
    with pytest.raises(KeyError, match="no member 'x'; there are cheap"):
        quote["x"]

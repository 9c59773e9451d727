"""Offers and prices know the circuit as compiled for the member, where somebody asks."""

import math
import threading
from math import prod

import anyio
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate, XGate
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.transpiler import (
    CouplingMap,
    InstructionProperties,
    PassManager,
    Target,
    generate_preset_pass_manager,
)

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler, simulate
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing, ScriptedBackend, SimulatedMember
from qiskit_gateway.backends.circuits.estimates import Estimate, gate_counts
from qiskit_gateway.backends.pricing.published import tariff
from qiskit_gateway.backends.pricing.rates import Hqc
from qiskit_gateway.policies import (
    Budget,
    MinFidelity,
    balanced,
    cheapest,
    failover,
    fastest,
    most_faithful,
)
from qiskit_gateway.primitives.router import Router
from qiskit_gateway.primitives.sampler import SamplerOptions, _plan
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.runtime.survey import profile_of, questions_of, survey_tasks

GATES_1Q, GATES_2Q = 0.001, 0.01
BY_GATES = Pricing(per_1q_gate_shot=GATES_1Q, per_2q_gate_shot=GATES_2Q)


def device(*, error_1q=0.0, error_2q=0.0, error_readout=0.0, coupling=None, seconds=None):
    """A perfect simulator that says of itself what a device does, and keeps what it was sent."""
    coupling = coupling or CouplingMap.from_full(4)
    target = Target(num_qubits=4)
    for gate in (RZGate(Parameter("a")), SXGate(), XGate()):
        error = 0.0 if gate.name == "rz" else error_1q
        properties = InstructionProperties(error=error, duration=seconds)
        target.add_instruction(gate, {(qubit,): properties for qubit in range(4)})
    properties = InstructionProperties(error=error_2q, duration=seconds)
    target.add_instruction(CXGate(), {tuple(edge): properties for edge in coupling.get_edges()})
    properties = InstructionProperties(error=error_readout, duration=seconds)
    target.add_instruction(Measure(), {(qubit,): properties for qubit in range(4)})
    return ScriptedBackend(BasicSimulator(target=target))


def chain(turns=1, couplings=1):
    """Rotations and couplings that no compiler can take away: those of unlike angles."""
    circuit = QuantumCircuit(2)
    for turn in range(turns):
        circuit.sx(0)
        circuit.rz(0.1 + turn, 0)
    for turn in range(couplings):
        circuit.cx(0, 1)
        circuit.rz(0.2 + turn, 1)
        circuit.sx(1)
    circuit.measure_all()
    return circuit


def count(circuits):
    """Gates and measurements of circuits as a backend was sent them."""
    ops = [instruction for circuit in circuits for instruction in circuit.data]
    gates = [op for op in ops if op.name not in {"measure", "barrier"}]
    return (
        sum(len(op.qubits) == 1 for op in gates),
        sum(len(op.qubits) == 2 for op in gates),
        sum(op.name == "measure" for op in ops),
    )


class Watched(PassManager):
    """A compiler that notes in which threads it was used."""

    def __init__(self, backend):
        super().__init__()
        self.inner = generate_preset_pass_manager(1, backend=backend, seed_transpiler=0)
        self.threads = []

    def run(self, circuits, *args, **kwargs):
        self.threads.append(threading.current_thread().name)
        return self.inner.run(circuits)


# -- prices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tariff", "worked"),
    [
        (BY_GATES, lambda one, two, _: 50 * (one * GATES_1Q + two * GATES_2Q)),
        # Each of the three qubits is prepared once and measured once.
        (
            Hqc(usd_per_hqc=10),
            lambda one, two, m: 10 * (5 + 50 * (one + 10 * two + 5 * (m + 3)) / 5000),
        ),
        (Pricing(per_2q_gate_shot=1e-9, minimum_per_job=12.4166), lambda *_: 12.4166),
        (lambda usage: usage.gate_2q_shots * GATES_2Q, lambda _, two, __: 50 * two * GATES_2Q),
    ],
    ids=["gate-shots", "hqc", "floor", "callable"],
)
def test_a_job_is_priced_by_the_gates_that_were_sent(tariff, worked):
    """What the report says of a job is the tariff over the circuit as the backend got it."""
    backend = device(coupling=CouplingMap.from_line(4))
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.cx(1, 2)
    circuit.measure_all()

    job = RouterSampler(Member(backend, pricing=tariff)).run([circuit], shots=50)
    job.result()

    one, two, measures = count(backend.calls[0].sent)
    assert two > 3, "the line must cost swaps, or the circuit as written would do"
    assert job.report().price_usd == pytest.approx(worked(one, two, measures))


@pytest.mark.parametrize(
    ("name", "arguments", "shots", "usd"),
    [
        # A fee of 0.30 for the task, and 0.00145 for each shot.
        ("braket:iqm_garnet", {}, 1000, 1.75),
        ("braket:ionq_forte", {}, 1000, 80.30),
        # 30 credits and 2.35 a shot, at a cent each: the 2380 credits of the provider's own example.
        ("qbraid:aqt_ibex_q1", {}, 1000, 23.80),
        # 1000 (2 * 0.000220 + 1 * 0.000975) = 1.415 is below the floor, 20 times as much is above.
        ("azure:ionq_aria", {"error_mitigation": False}, 1000, 12.4166),
        ("azure:ionq_aria", {"error_mitigation": False}, 20_000, 28.30),
        ("azure:ionq_aria", {}, 20_000, 97.50),
        # 5 + 1000 (2 + 10 * 1 + 5 * (2 + 2)) / 5000 = 11.4 credits.
        ("quantinuum:hqc", {"usd_per_hqc": 10}, 1000, 114.0),
        # 31 ms, begun increments of 10 ms at 0.02.
        ("azure:rigetti_cepheus_1_108q", {}, 1000, 0.08),
        ("ibm:pay_as_you_go", {}, 1000, 2.031 * 1.60),
        ("iqm:resonance", {}, 1000, 0.031 * 0.30),
        ("scaleway:aqt_ibex_q1", {"usd_per_eur": 1.1}, 1000, 1.1 * (0.30 + 21.0)),
        ("ibm:open", {}, 1000, 0.0),
    ],
)
def test_published_tariffs_price_a_run_as_worked_by_hand(name, arguments, shots, usd):
    """Two rotations, one coupling, two readouts of three layers of 10 us: the bill of each tariff."""
    backend = device(seconds=1e-5)
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.sx(1)
    circuit.cx(0, 1)
    circuit.measure_all()
    sampler = RouterSampler(Member(backend, name="a", pricing=tariff(name, **arguments)))

    quote = sampler.quote([circuit], shots=shots)
    job = sampler.run([circuit], shots=shots)
    job.result()

    assert job.report().price_usd == pytest.approx(usd)
    assert quote.price_usd == pytest.approx(usd)


def test_a_job_of_several_circuits_is_priced_by_all_of_them():
    """Circuits of one job are added up, each as often as it has rows and shots, exactly."""
    backend = device()
    angle = Parameter("a")
    swept = chain(turns=3)
    swept.rz(angle, 0)
    pubs = [(chain(couplings=5), None, 30), (swept, [[0.1], [0.2], [0.3]], 30)]

    job = RouterSampler(Member(backend, pricing=BY_GATES)).run(pubs)
    job.result()

    one, two, _ = count(circuit for call in backend.calls for circuit in call.sent)
    assert job.report().price_usd == pytest.approx(30 * (one * GATES_1Q + two * GATES_2Q))


def test_a_floor_is_respected_however_few_the_gates():
    """Each job pays at least the floor, so the cheaper member is the one without it."""
    dear = Member(device(), name="floor", pricing=Pricing(per_2q_gate_shot=1e-9, minimum_per_job=5))
    fair = Member(device(), name="fair", pricing=Pricing(per_2q_gate_shot=GATES_2Q))

    job = RouterSampler([dear, fair], policy=cheapest()).run([chain()], shots=10)
    job.result()

    assert list(job.report().members) == ["fair"]


def test_each_circuit_goes_where_it_is_cheapest():
    """Two circuits of one run go to different members if each costs least there."""
    turns = Member(device(), name="turns", pricing=Pricing(per_1q_gate_shot=1, per_2q_gate_shot=9))
    coupled = Member(
        device(), name="coupled", pricing=Pricing(per_1q_gate_shot=9, per_2q_gate_shot=1)
    )
    coupling = QuantumCircuit(2)
    coupling.cx(0, 1)
    coupling.measure_all()
    pubs = [chain(turns=9, couplings=1), coupling]

    job = RouterSampler([turns, coupled], policy=cheapest()).run(pubs, shots=10)
    job.result()

    where = {a.pieces[0].task: a.member for a in job.report().attempts}
    assert where == {0: "turns", 1: "coupled"}


def test_circuits_that_are_alike_to_the_policy_share_a_job():
    """Other gate counts alone are no reason for a job, and its fee, of their own."""
    member = Member(device(), pricing=Pricing(per_job=1, per_2q_gate_shot=1e-6))
    other = Member(device(), name="other", pricing=Pricing(per_job=9, per_2q_gate_shot=1e-6))
    pubs = [chain(couplings=number) for number in range(1, 8)]

    job = RouterSampler([member, other], policy=cheapest()).run(pubs, shots=10)
    job.result()

    assert sum(row["jobs"] for row in job.report().members.values()) == 1


def test_a_budget_knows_the_gates():
    """A job whose gates cost more than is left is not sent."""
    backend = device()
    circuit = chain(turns=10)
    one, two, _ = count([circuit])
    price = 100 * (one * GATES_1Q + two * GATES_2Q)
    policy = cheapest(budget=Budget(usd=0.99 * price))

    job = RouterSampler(Member(backend, pricing=BY_GATES), policy=policy).run([circuit], shots=100)

    with pytest.raises(PlanError, match="budget"):
        job.result()
    assert backend.calls == ()


def test_machine_time_is_billed_by_the_durations_of_the_target():
    """Where nothing was learned yet, a second's price is that of the durations that are told."""
    backend = device(seconds=0.001)
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    circuit.measure_all()

    job = RouterSampler(Member(backend, pricing=Pricing(per_second=1.0))).run([circuit], shots=500)
    job.result()

    # Besides the shots, a circuit is thought to take a millisecond.
    assert job.report().price_usd == pytest.approx(500 * 0.002 + 0.001)


def test_an_estimator_pays_for_the_gates_of_its_bases():
    """The gates that turn a basis and the measurements are counted with the circuit's own."""
    backend = device()
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.cx(0, 1)

    job = RouterEstimator(Member(backend, pricing=BY_GATES)).run(
        [(circuit, ["XX", "ZZ", "YI"])], precision=0.1
    )
    job.result()

    sent = [circuit for call in backend.calls for circuit in call.sent]
    one, two, _ = count(sent)
    assert len(sent) > 1
    assert job.report().price_usd == pytest.approx(100 * (one * GATES_1Q + two * GATES_2Q))


# -- fidelity ----------------------------------------------------------------------------------


def test_the_fidelity_of_an_offer_is_that_of_the_compiled_circuit():
    """A hand-computed product: two sx, one cx, two readouts; rz is free of errors."""
    backend = device(error_1q=0.01, error_2q=0.02, error_readout=0.05)
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.sx(1)
    circuit.cx(0, 1)
    circuit.measure_all()

    fidelity = compiled(circuit, Member(backend, name="a"), most_faithful())[0]["a"].fidelity

    assert fidelity == pytest.approx(prod([0.99, 0.99, 0.98, 0.95, 0.95]))


def compiled(circuit, members, policy):
    """What a run over members knows of a circuit."""
    return [task.compiled for task in survey([circuit], members, policy)]


def survey(circuits, members, policy):
    router = Router(members, policy)
    pubs = [sampler_pub(circuit) for circuit in circuits]
    work = router.prepare(_plan(pubs, SamplerOptions())[0], router.fleet)
    asked = questions_of(router.fleet, router.policy)
    return anyio.run(survey_tasks, work, router.fleet, router.policy, asked)


def sampler_pub(circuit):
    return SamplerPub.coerce(circuit, 100)


def test_each_circuit_goes_where_it_is_most_faithful():
    """One device has good couplings, the other good rotations, and neither was told to anybody."""
    couples = Member(device(error_1q=0.01, error_2q=0.001), name="couples")
    turns = Member(device(error_1q=0.0001, error_2q=0.05), name="turns")
    pubs = [chain(turns=9), chain(couplings=9)]
    pubs[0].data = [op for op in pubs[0].data if op.name != "cx"]

    job = RouterSampler([couples, turns], policy=most_faithful()).run(pubs, shots=10)
    job.result()

    where = {piece.task: a.member for a in job.report().attempts for piece in a.pieces}
    assert where == {0: "turns", 1: "couples"}


def test_a_filter_reads_the_fidelity_of_each_circuit():
    """A small circuit passes and a large one is refused, with the figure, and nothing is sent."""
    backend = device(error_2q=0.01)
    sampler = RouterSampler(Member(backend, name="a"), policy=fastest(where=MinFidelity(0.95)))
    assert sampler.run([chain(couplings=3)], shots=10).result()

    sent = len(backend.calls)
    job = sampler.run([chain(couplings=20)], shots=10)

    with pytest.raises(PlanError, match=r"a: fidelity 0\.8179 is below 0\.95"):
        job.result()
    assert len(backend.calls) == sent


def test_what_the_user_says_of_fidelity_wins_and_nothing_is_compiled_for_it():
    """A member with a fidelity of its own is not asked for another."""
    backend = device(error_2q=0.5)
    member = Member(backend, name="a", fidelity=0.97)
    assert compiled(chain(), member, most_faithful()) == [{}]
    policy = fastest(where=MinFidelity(0.95))
    assert RouterSampler(member, policy=policy).run([chain()], shots=10).result()


def test_a_member_that_tells_no_errors_has_no_fidelity():
    """Without errors in its target a member's fidelity is unknown, never perfect."""
    member = Member(BasicSimulator(), name="a")
    assert compiled(chain(), member, most_faithful())[0]["a"].fidelity is None
    with pytest.raises(PlanError, match="fidelity is unknown"):
        RouterSampler(member, policy=fastest(where=MinFidelity(0.1))).run([chain()]).result()


# -- where and when circuits are compiled ------------------------------------------------------


@pytest.mark.parametrize(
    "policy", [fastest(), cheapest(), failover(), balanced()], ids=lambda p: type(p.minimize)
)
def test_nothing_is_compiled_before_the_plan_where_nobody_asks(policy):
    """Plain tariffs and policies that do not read the fidelity cost no compilation."""
    member = Member(device(), pricing=Pricing(per_job=0.3, per_shot=0.01))
    tasks = survey([chain()], [member, SimulatedMember("b", pricing=lambda u: u.shots)], policy)
    assert [(task.compiled, task.kind) for task in tasks] == [({}, 0)]


def sources(sampler, circuits, **given):
    """Run circuits; return where the first plan has the times of each member from."""
    job = sampler.run(circuits, shots=10, **given)
    job.result()
    return {one.member: one.source for one in job.report().why().plan.members}


@pytest.mark.parametrize(
    ("policy", "pricing", "source"),
    [
        (fastest(), None, "nothing"),
        (fastest(), BY_GATES, "durations"),
        (fastest(), Pricing(per_second=1.0), "durations"),
        (most_faithful(), None, "durations"),
    ],
    ids=["nobody asks", "gates", "seconds", "fidelity"],
)
@pytest.mark.parametrize("seed", [None, 7])
def test_durations_tell_what_a_shot_takes_where_circuits_are_compiled_anyway(
    policy, pricing, source, seed
):
    """A run that compiles beforehand, for price or fidelity, plans by them; no other compiles for it."""
    member = Member(device(seconds=0.001), name="a", pricing=pricing)
    sampler = RouterSampler(member, policy=policy, options={"seed_simulator": seed})

    assert sources(sampler, [chain()] * 3) == {"a": source}


def test_what_a_quote_has_compiled_is_planned_by():
    """Until the member was seen at work, then no more; of other circuits nothing is known."""
    member = Member(device(seconds=0.001), name="a")
    sampler = RouterSampler(member)
    circuit, other = chain(), chain(turns=3)

    sampler.quote([circuit])

    assert sources(sampler, [circuit, other]) == {"a": "nothing"}
    assert sources(sampler, [circuit]) == {"a": "seen"}
    fresh = RouterSampler(Member(device(seconds=0.001), name="a"))
    fresh.quote([circuit, other])
    assert sources(fresh, [circuit, other]) == {"a": "durations"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda: 1 / 0,
        lambda: "quick",
        lambda: Estimate(gates=gate_counts(chain()), shot_seconds=math.nan),
        lambda: Estimate(gates=gate_counts(chain()), shot_seconds=-1.0),
    ],
    ids=["raises", "no estimate", "no number", "negative"],
)
def test_a_member_that_remembers_nonsense_is_one_of_which_nothing_is_known(answer):
    """A member of somebody's own may say anything; the run goes on without."""
    member = SimulatedMember("a", job_seconds=0.01)
    member.look_up_estimate = lambda _: answer()

    assert sources(RouterSampler(member), [chain()]) == {"a": "nothing"}


def test_with_a_seed_it_is_of_no_matter_what_was_compiled_before():
    """The same run has the same shards, whether somebody has asked for a quote or not."""

    def run(*, quoted):
        members = [
            Member(device(seconds=seconds), name=name)
            for name, seconds in (("a", 1e-6), ("b", 1e-3))
        ]
        sampler = RouterSampler(members, policy=fastest(), options={"seed_simulator": 1})
        circuits = [chain()] * 20
        if quoted:
            sampler.quote(circuits, shots=10)
        job = sampler.run(circuits, shots=10)
        job.result()
        return sorted((one.member, one.pieces) for one in job.report().attempts)

    assert run(quoted=True) == run(quoted=False)


def test_a_circuit_is_compiled_once_for_its_price_and_for_running():
    """One compilation serves the survey and the job, and never happens in an event loop."""
    backend = device()
    compiler = Watched(backend)
    member = Member(backend, pricing=BY_GATES, pass_manager=compiler)
    sampler = RouterSampler(member)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.measure_all()

    async def within_a_loop():
        for _ in range(2):
            await sampler.run([circuit], shots=10)

    anyio.run(within_a_loop)

    assert len(compiler.threads) == 1
    assert compiler.threads[0].startswith("qiskit-gateway worker")


class Broken(PassManager):
    """A compiler that cannot."""

    def run(self, circuits, *args, **kwargs):
        raise RuntimeError("no such gate")


def test_what_cannot_be_compiled_is_refused_before_anything_is_sent():
    """The reason is that of today, and the work goes to others where there are any."""
    broken = Member(device(), name="broken", pricing=BY_GATES, pass_manager=Broken())
    with pytest.raises(PlanError, match=r"broken: cannot be compiled for .*no such gate"):
        RouterSampler(broken).run([chain().decompose()]).result()

    sound = Member(device(), name="sound", pricing=BY_GATES)
    three = QuantumCircuit(3)
    three.ccx(0, 1, 2)
    three.measure_all()
    job = RouterSampler([broken, sound]).run([three], shots=10)
    job.result()
    assert [attempt.member for attempt in job.report().attempts] == ["sound"]


# -- on a virtual clock ------------------------------------------------------------------------


class Slow(SimulatedMember):
    """A member that takes its time to say what a circuit is there."""

    seconds = 60.0

    async def estimate(self, program):
        await anyio.sleep(self.seconds)
        return await super().estimate(program)


class Mute(SimulatedMember):
    async def estimate(self, program):
        raise OSError("connection refused")


def run_over(members, policy, circuits=1):
    router = Router(members, policy)
    pubs = [sampler_pub(chain(turns=number + 1)) for number in range(circuits)]
    return Run(
        "run", router.fleet, policy, router.prepare(_plan(pubs, SamplerOptions())[0], router.fleet)
    )


@pytest.mark.anyio
async def test_a_member_that_does_not_answer_is_not_waited_for():
    """Each answer has the deadline of a submission; after one was missed none is asked for."""
    slow, sound = Slow("slow", pricing=BY_GATES), SimulatedMember("sound", pricing=BY_GATES)
    slow.seconds = 1e6
    run = run_over([slow, sound], cheapest(submit_seconds=120), circuits=5)
    begun = anyio.current_time()

    done = await run.execute()

    assert done.given_up == ()
    assert {attempt.member for attempt in run.record} == {"sound"}
    assert anyio.current_time() - begun == pytest.approx(120, abs=1)


@pytest.mark.anyio
@pytest.mark.parametrize("policy", [fastest(), most_faithful()])
async def test_a_member_that_cannot_tell_a_price_gets_no_work(policy):
    """Nothing is spent at a price that nobody knows; a fidelity may stay unknown."""
    priced = run_over([Mute("a", pricing=BY_GATES)], policy)
    done = await priced.execute()
    assert not done.sent
    assert "cannot be told" in done.given_up[0].why

    free = run_over([Mute("a")], policy)
    assert (await free.execute()).given_up == ()


@pytest.mark.anyio
async def test_the_deadline_counts_while_circuits_are_compiled():
    """A run that is still being surveyed at its deadline sends nothing."""
    run = run_over([Slow("a", pricing=BY_GATES)], fastest(deadline_seconds=30))

    done = await run.execute()

    assert (done.sent, run.record) == (False, [])
    assert "deadline of 30 s" in done.given_up[0].why
    assert run.seconds == pytest.approx(30)


@pytest.mark.anyio
async def test_a_run_can_be_stopped_while_circuits_are_compiled():
    """It ends at once, and says why."""
    run = run_over([Slow("a", pricing=BY_GATES)], fastest())
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await anyio.sleep(5)
        assert run.progress().shots_waiting == 100
        run.stop("the user has had enough")
    assert run.ended is not None
    assert "had enough" in run.ended.given_up[0].why
    assert (run.seconds, run.record) == (pytest.approx(5), [])


def test_a_simulation_pays_for_gates():
    """Members of a simulation are priced by what the real ones compile circuits to."""
    backend = device(coupling=CouplingMap.from_line(4))
    member = Member(backend, pricing=BY_GATES)
    circuit = QuantumCircuit(3)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.cx(1, 2)
    circuit.measure_all()
    job = RouterSampler(member).run([circuit], shots=50)
    job.result()
    sent = len(backend.calls)

    assert simulate(member, [circuit], shots=50).cost_usd == pytest.approx(job.report().price_usd)
    assert len(backend.calls) == sent


def test_limits_hold_where_tasks_are_of_several_kinds():
    """Tasks that go apart for their price still keep to what a job may hold."""
    pubs = [chain(turns=number + 1) for number in range(6)]
    members = [
        Member(device(), name=name, pricing=BY_GATES, limits=Limits(max_circuits=2))
        for name in "ab"
    ]
    fleet = Fleet(members)

    job = RouterSampler(fleet, policy=cheapest()).run(pubs, shots=10)

    assert len(job.result()) == 6
    assert all(attempt.circuits <= 2 for attempt in job.report().attempts)


@pytest.mark.parametrize(
    ("pricing", "free"),
    [(None, False), (Pricing(), True), (Pricing(per_job=1), False), (lambda usage: 0.0, False)],
    ids=["no price", "free", "paid", "unknown"],
)
def test_only_who_is_said_to_cost_nothing_does(pricing, free):
    """A member without a price may have one: nothing is run there a second time for safety."""
    assert profile_of(Member(BasicSimulator(), pricing=pricing), 0).free is free
    assert profile_of(SimulatedMember("a", pricing=pricing), 0).free is (free or pricing is None)


@pytest.mark.parametrize("circuits", [1, 10, 100])
def test_a_quote_is_within_a_twentieth_of_ibms_own_estimate(circuits):
    """IBM bills 2 s a job on top of its shots: 3.61 USD for one circuit, 7.26 for ten at 256 us a shot."""
    turn = QuantumCircuit(1)
    turn.sx(0)
    turn.measure_all()
    backend = device(seconds=256e-6 / 2)
    sampler = RouterSampler(Member(backend, name="a", pricing=tariff("ibm:pay_as_you_go")))
    quote = sampler.quote([turn] * circuits, shots=1000)
    assert quote.jobs == 1
    published = 1.60 * (2 + circuits * 1000 * 256e-6)
    assert quote.price_usd == pytest.approx(published, rel=0.05)

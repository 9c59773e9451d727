"""A backend that fails: its work goes elsewhere, and the result is whole."""

import sys

from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Member
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import failover

# Takes one job and is gone from then on: every further job is refused for good.
flaky = ScriptedBackend(BasicSimulator(), [()], then=Fails(transient=False))
fleet = Fleet([Member(flaky, name="first choice"), Member(BasicSimulator(), name="stand-in")])
sampler = RouterSampler(
    fleet, policy=failover("first choice", "stand-in"), options={"default_shots": 500}
)

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
bell.measure_all()

served: list[str] = []
for number in range(3):
    job = sampler.run([bell])
    counts = job.result()[0].data.meas.get_counts()
    print(f"run {number}: {dict(sorted(counts.items()))}")
    for attempt in job.report().attempts:
        print(f"  {attempt.member}: {attempt.outcome} {attempt.failure}")
    if set(counts) - {"00", "11"} or sum(counts.values()) != 500:
        sys.exit("a Bell pair of 500 shots was expected")
    served += [attempt.member for attempt in job.report().attempts if attempt.outcome == "done"]

if served != ["first choice", "stand-in", "stand-in"]:
    sys.exit(f"served by {served}")

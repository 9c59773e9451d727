"""A configuration file says what Python would, or what is wrong with it, key by key."""

import base64
import inspect
import json
import math
import re
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import ConfigError, RouterSampler, load_config, policies
from qiskit_gateway.backends import (
    Adaptation,
    Allowance,
    EstimatorMember,
    Limits,
    Member,
    Pricing,
    PrimitiveMember,
    Usage,
)
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.pricing.published import ARGUMENTS, tariff, tariff_names
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember
from qiskit_gateway.config_file.loader import REGISTRY, config_schema
from qiskit_gateway.config_file.problems import keep_secrets
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Filter,
    Hours,
    MaxPrice,
    MinFidelity,
    Named,
    Objective,
    Order,
    OrderOf,
    Policy,
    Price,
    RecallPolicy,
    RetryPolicy,
    Share,
    Tagged,
    Then,
    balanced,
    cheapest,
    failover,
    fastest,
    weighted,
)
from qiskit_gateway.policies.presets import PRESETS
from qiskit_gateway.policies.removed import removed_keywords
from qiskit_gateway.policies.spread import SPLIT_RULES, Spread

ROOT = Path(__file__).parents[3]
# That of a lab needs packages of providers, and has a test of its own among theirs.
EXAMPLES = sorted(
    set((ROOT / "examples" / "config").glob("*.toml")) - {ROOT / "examples/config/lab.toml"}
)
BASIC = 'backend = "qiskit.providers.basic_provider:BasicSimulator"'
TWO = """
[[members]]
name = "a"
simulated = {}
[[members]]
name = "b"
simulated = {}
"""


def quoted(names):
    return ", ".join(map(repr, names))


@pytest.fixture
def load(tmp_path):
    """Load a configuration from its text."""

    def loaded(text, environ=None):
        path = tmp_path / "fleet.toml"
        path.write_text(text)
        return load_config(path, environ=environ or {})

    return loaded


@pytest.fixture
def problems(load):
    """Return the problems of a text, one a line, without the heading."""

    def found(text, environ=None):
        with pytest.raises(ConfigError) as caught:
            load(text, environ)
        heading, *lines = str(caught.value).split("\n")
        assert re.fullmatch(rf"fleet\.toml has {len(lines)} problems?:", heading)
        return [line.strip() for line in lines]

    return found


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module of the user's own."""
    monkeypatch.syspath_prepend(tmp_path)
    number = iter(range(1000))

    def written(text):
        name = f"own_{tmp_path.name.replace('-', '_')}_{next(number)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return written


# -- members ---------------------------------------------------------------------------------


def test_a_member_says_what_python_would(load):
    """Every key of a member arrives where the argument of the same name would."""
    config = load(
        f"""
        [[members]]
        name = "local"
        {BASIC}
        limits = {{ max_circuits = 20, max_shots = 5_000 }}
        pricing = {{ per_job = 0.3, per_shot = 0.001 }}
        weight = 2
        fidelity = 0.97
        tags = ["qpu", "free"]
        run_options = {{ level = 3 }}
        adaptation = {{ bit_order = "reversed", unsound = ["reset"], options = {{ level = 3 }} }}
        queue = 90
        """
    )
    (member,) = config.fleet
    assert isinstance(member, Member)
    assert isinstance(member.backend, BasicSimulator)
    assert member.name == "local"
    assert (member.limits.max_circuits, member.limits.max_shots) == (20, 5000)
    assert member.pricing == Pricing(per_job=0.3, per_shot=0.001)
    assert (member.weight, member.fidelity) == (2.0, 0.97)
    assert member.tags == {"qpu", "free"}
    assert member.run_options == {"level": 3}
    assert member.adaptation == Adaptation(
        bit_order="reversed", unsound={"reset"}, options={"level": 3}
    )
    assert member.queue() == 90.0
    assert (config.policy, config.journal) == (Policy(), None)


OWN_MEMBERS = """
from qiskit.primitives import StatevectorSampler
from qiskit_gateway.backends import SimulatedMember

class Sampler(StatevectorSampler):
    def __init__(self, backend, *, level=1):
        super().__init__()
        self._backend, self.level = backend, level

def simulated(wait):
    return SimulatedMember("theirs", queue_seconds=wait)
"""


def test_a_primitive_says_what_python_would(load, module):
    """Made alone, or over a backend of the same table; with all keys of a member."""
    own = module(OWN_MEMBERS)
    alone, over = load(
        f"""
        [[members]]
        primitive = "qiskit.primitives:StatevectorSampler"
        arguments = {{ default_shots = 7 }}
        limits = {{ max_executions = 5_000 }}
        weight = 2
        idle_seconds = 3
        [[members]]
        name = "over"
        {BASIC}
        primitive = "{own}:Sampler"
        primitive_arguments = {{ level = {{ env = "LEVEL" }} }}
        pricing = {{ per_job = 0.3 }}
        tags = ["qpu"]
        queue = 90
        """,
        {"LEVEL": "3"},
    ).fleet
    assert isinstance(alone, PrimitiveMember)
    assert (alone.name, alone.sampler.default_shots) == ("StatevectorSampler", 7)
    assert (alone.limits.max_executions, alone.weight) == (5000, 2)
    assert isinstance(over, PrimitiveMember)
    assert over.sampler._backend is over.backend
    assert isinstance(over.backend, BasicSimulator)
    assert (over.sampler.level, over.name, over.tags) == ("3", "over", {"qpu"})
    assert (over.pricing, over.queue()) == (Pricing(per_job=0.3), 90.0)


def test_a_native_estimator(load):
    """It is named as a sampler is."""
    (member,) = load(
        """
        [[members]]
        name = "exact"
        primitive = "qiskit.primitives:StatevectorEstimator"
        arguments = { seed = 7 }
        limits = { max_circuits = 5 }
        """
    ).fleet
    assert isinstance(member, EstimatorMember)
    assert (member.name, member.estimator.seed, member.limits.max_circuits) == ("exact", 7, 5)


def test_a_member_of_ones_own(load, module):
    """Whatever has the verbs of a member can be named, with arguments and a label."""
    own = module(OWN_MEMBERS)
    text = f"[[members]]\nmember = '{own}:simulated'\narguments = {{ wait = 60 }}\n"
    theirs, named = load(f"{text}{text}name = 'mine'").fleet
    assert (theirs.name, named.name) == ("theirs", "mine")
    assert theirs.queue() == 60


def test_defaults_are_those_of_python(load):
    """What is not said is as if it were not given: names and limits from the backend."""
    (member,) = load(f"[[members]]\n{BASIC}").fleet
    plain = Member(BasicSimulator())
    for attribute in (
        "name",
        "limits",
        "pricing",
        "weight",
        "fidelity",
        "tags",
        "run_options",
        "adaptation",
    ):
        assert getattr(member, attribute) == getattr(plain, attribute)
    assert member.queue is None


def test_a_simulated_member_says_what_python_would(load):
    """Every argument of SimulatedMember but randomness of the user's own can be said."""
    text = """
        [[members]]
        simulated = { num_qubits = 5, queue_seconds = 60, outages = [[10, 20], [20, 30]] }
        limits = { max_circuits = 3 }
        pricing = { per_shot = 1 }
        fidelity = 0.5
        weight = 3
        tags = ["s"]
        [[members]]
        name = "plain"
        simulated = {}
        """
    first, plain = load(text).fleet
    assert isinstance(first, SimulatedMember)
    assert (first.name, plain.name) == ("simulated-0", "plain")
    assert first.limits == Limits(num_qubits=5, max_circuits=3)
    assert first.queue() == 60
    assert first.pricing == Pricing(per_shot=1)
    assert (first.fidelity, first.weight, first.tags) == (0.5, 3, {"s"})
    keys = set(config_schema()["$defs"]["SimulatedTable"]["properties"])
    shared = {"self", "name", "limits", "pricing", "weight", "tags", "fidelity"}
    assert keys == set(inspect.signature(SimulatedMember.__init__).parameters) - shared


def test_what_a_file_says_of_a_speed_a_member_tells(load):
    """A time that is zero may be said beside one that is not; a simulated member tells its own."""
    text = f"""
        [[members]]
        {BASIC}
        speed = {{ job_seconds = 0, circuit_seconds = 2, shot_seconds = 1e-3 }}
        [[members]]
        simulated = {{ job_seconds = 3, told = true }}
        """
    member, simulated = load(text).fleet

    assert member.speed == Speed(circuit_seconds=2, shot_seconds=1e-3)
    assert simulated.speed == Speed(job_seconds=3)


PROVIDER = """
from qiskit.providers.basic_provider import BasicSimulator

asked = []

class Provider:
    def __init__(self, **given):
        asked.append(given)
        self.offline = self

    def get_backend(self, name):
        asked.append(name)
        return BasicSimulator()

    def ideal(self, **given):
        asked.append(given)
        return BasicSimulator()

def seconds():
    return 12

class Broken:
    def __init__(self, **given):
        raise RuntimeError(f"refused {given}")

number = 3
"""


def test_a_provider_is_made_and_asked_for_its_backend(load, module):
    """By name, or by any method; secrets come from the environment, wherever they are nested."""
    own = module(PROVIDER)
    text = f"""
        [[members]]
        provider = "{own}:Provider"
        arguments = {{ token = {{ env = "T" }}, more = {{ list = [{{ env = "U" }}, 1] }}, env = "x" }}
        get_backend = "simulator"
        [[members]]
        provider = "{own}:Provider"
        method = "offline.ideal"
        method_arguments = {{ env = "prod" }}
        queue = "{own}:seconds"
        """
    config = load(text, {"T": "secret-1", "U": "secret-2"})
    asked = __import__(own).asked
    assert asked == [
        {"token": "secret-1", "more": {"list": ["secret-2", 1]}, "env": "x"},
        "simulator",
        {},
        {"env": "prod"},
    ]
    first, second = config.fleet
    assert (first.name, second.name) == ("basic_simulator", "basic_simulator-2")
    assert second.queue() == 12
    assert "secret" not in repr(config)


def test_run_options_may_hold_secrets_by_reference(load):
    """An option of every run is resolved too."""
    text = f"[[members]]\n{BASIC}\nrun_options = {{ api_key = {{ env = 'K' }}, level = 1 }}"
    assert load(text, {"K": "k"}).fleet["basic_simulator"].run_options == {
        "api_key": "k",
        "level": 1,
    }


# -- prices ----------------------------------------------------------------------------------


def test_allowances_of_rates_and_of_published_tariffs(load):
    """An allowance is what the rates beside it count, or what is other in a published one."""
    text = """
        [[members]]
        simulated = {}
        pricing = { tariff = "ibm:open", allowance = { used = 120, name = "ibm" } }
        [[members]]
        simulated = {}
        pricing = { per_shot = 0.01, allowance = { amount = 500, period = "month" } }
        [[members]]
        simulated = {}
        pricing = { per_second = 1, allowance = { amount = 60, period = 7, usd_per_unit = inf } }
    """
    ibm, prepaid, weekly = (member.pricing for member in load(text).fleet)

    assert ibm == tariff("ibm:open", used=120, name="ibm")
    assert prepaid == Allowance(meter=Pricing(per_shot=0.01), amount=500, period="month")
    assert weekly == Allowance(
        meter=Pricing(per_second=1), amount=60, period=7.0, usd_per_unit=math.inf
    )


def test_published_tariffs_by_name(load):
    """A tariff by name is priced as published; rates beside it win, and keep its source."""
    text = """
        [[members]]
        simulated = {}
        pricing = { tariff = "braket:ionq_forte" }
        [[members]]
        simulated = {}
        pricing = { tariff = "azure:pasqal_qpu", usd_per_eur = 1.2 }
        [[members]]
        simulated = {}
        pricing = { tariff = "azure:ionq_forte", error_mitigation = false, minimum_per_job = 30 }
        """
    forte, pasqal, azure = (member.pricing for member in load(text).fleet)
    assert forte(Usage(circuits=1, shots=1000)) == pytest.approx(80.30)
    assert pasqal(Usage(circuits=1, shots=1, seconds=3600)) == pytest.approx(3600)
    assert azure(Usage(circuits=1, shots=1)) == 30
    assert "braket" in forte.source
    keys = set(config_schema()["$defs"]["PricingTable"]["properties"])
    rates = {field.name for field in fields(Pricing)}
    assert keys == {"tariff", "allowance", *ARGUMENTS, *rates}
    of_allowance = set(config_schema()["$defs"]["AllowanceTable"]["properties"])
    assert of_allowance == {field.name for field in fields(Allowance)} - {"meter"}


# -- policies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", Policy()),
        ('preset = "cheapest"', cheapest()),
        ('preset = "fastest"\nspread = "shots"', fastest(spread="shots")),
        ('preset = "balanced"\narguments = { usd_per_hour = 7 }', balanced(usd_per_hour=7)),
        ('preset = "failover"', failover()),
        ('preset = "failover"\narguments = { members = ["b", "a"] }', failover("b", "a")),
        (
            'preset = "failover"\narguments = { members = ["b"] }\nwhere = [{ max_price = 5 }]',
            failover("b", where=MaxPrice(5)),
        ),
        ('preset = "weighted"\narguments = { weights = { a = 2 } }', weighted({"a": 2})),
        (
            'preset = "cheapest"\nwhere = [{ max_price = 5 }, { tagged = ["x", "y"] }]',
            cheapest(where=MaxPrice(5) & Tagged("x", "y")),
        ),
        ("where = [{ max_price = 5 }]", Policy(where=MaxPrice(5))),
        (
            'where = [{ any = [{ named = ["a"] }, { max_price = 5, min_fidelity = 0.9 }] }]',
            Policy(where=Named("a") | (MaxPrice(5) & MinFidelity(0.9))),
        ),
        (
            "where = [{ all = [{ max_price = 5 }, { min_fidelity = 0.9 }] }]",
            Policy(where=MaxPrice(5) & MinFidelity(0.9)),
        ),
        ("minimize = [{ price = 1 }]", Policy(minimize=Price())),
        (
            "minimize = [{ price = 1 }, { hours = 40 }]",
            Policy(minimize=Price() + 40 * Hours()),
        ),
        (
            "minimize = [{ hours = 40, price = 1 }]\nthen = [{ order_of = ['b'] }, { order = 1 }]",
            Policy(minimize=Then(40 * Hours() + Price(), OrderOf("b"), Order())),
        ),
        (
            "deadline_seconds = 60\non_failure = 'partial'",
            Policy(deadline_seconds=60, on_failure="partial"),
        ),
        # TOML has no null: for ever is inf.
        ("patience_seconds = inf", Policy(patience_seconds=None)),
        (
            "[policy.retry]\nmax_attempts = 5\nmax_moves = 1\non_unknown = 'wait'",
            Policy(retry=RetryPolicy(max_attempts=5, max_moves=1, on_unknown="wait")),
        ),
        ("breaker = { failures = 9 }", Policy(breaker=BreakerPolicy(failures=9))),
        (
            "budget = { usd = 20, per_member_usd = { a = 4 }, on_exhausted = 'move' }",
            Policy(budget=Budget(usd=20, per_member_usd={"a": 4}, on_exhausted="move")),
        ),
    ],
)
def test_a_policy_says_what_python_would(load, text, policy):
    """Presets, filters, objectives and rules come out as the objects of these names."""
    found = load(f"{TWO}\n[policy]\n{text}").policy
    if "hours" in text:  # The order of a sum is that of the file's keys, and means nothing.
        offer = policies.Offer(member="a", circuits=1, shots=1, price_usd=2.0, wait_seconds=900)
        assert found.minimize.key(offer) == policy.minimize.key(offer)
        assert type(found.minimize) is type(policy.minimize)
    else:
        assert found == policy


def public(kind, module):
    names = (getattr(module, name) for name in module.__all__)
    return {thing for thing in names if isinstance(thing, type) and issubclass(thing, kind)}


def test_every_filter_objective_and_preset_has_a_name():
    """What policies offer can be said in a file: a new one that is forgotten fails here."""
    structure = {Filter, policies.Anything, policies.Every, policies.Some}
    assert set(REGISTRY["where"].values()) == public(Filter, policies) - structure
    structure = {Objective, policies.Scaled, policies.Sum, Then}
    assert set(REGISTRY["minimize"].values()) == public(Objective, policies) - structure
    presets = {
        thing
        for name in policies.__all__
        if inspect.isfunction(thing := getattr(policies, name)) and name != "refuse"
    }
    assert set(REGISTRY["preset"].values()) == presets


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (RetryPolicy, "policy.retry"),
        (BreakerPolicy, "policy.breaker"),
        (RecallPolicy, "policy.recall"),
        (Share, "policy.share"),
        (Budget, "policy.budget"),
        (Policy, "policy"),
        (Limits, "members.limits"),
        (Pricing, "members.pricing"),
    ],
)
def test_every_field_is_a_key(load, kind, table):
    """All that Python can say with numbers and texts, a file can: each default, written out."""
    default = kind()
    said = {
        field.name: getattr(default, field.name)
        for field in fields(kind)
        if isinstance(getattr(default, field.name), int | float | str)
    }
    written = "\n".join(f"{key} = {json.dumps(value)}" for key, value in said.items())
    config = load(f"[[members]]\nsimulated = {{}}\n[{table}]\n{written}")
    (member,) = config.fleet
    found = {
        "policy": config.policy,
        "policy.retry": config.policy.retry,
        "policy.breaker": config.policy.breaker,
        "policy.recall": config.policy.recall,
        "policy.share": config.policy.share,
        "policy.budget": config.policy.budget,
        "members.pricing": member.pricing,
        "members.limits": Limits(),
    }[table]
    assert found == default
    assert {field.name for field in fields(kind)} <= keys_in_schema()


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("policy", Policy),
        ("policy.retry", RetryPolicy),
        ("policy.breaker", BreakerPolicy),
        ("policy.recall", RecallPolicy),
    ],
)
def test_a_removed_key_says_what_to_do_instead(load, table, kind):
    """A file gets the advice that Python gives, at the table where the key stands."""
    for name, advice in removed_keywords(kind).items():
        with pytest.raises(ConfigError) as caught:
            load(f"{TWO}\n[{table}]\n{name} = 1")
        assert f"{table}: no longer takes {name}: {advice}" in str(caught.value)


# -- journal, sampler, schema ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "journal"),
    [
        ("'runs.sqlite'", "{folder}/runs.sqlite"),
        ("'/var/runs.sqlite'", "/var/runs.sqlite"),
        ("'sqlite://host/x'", "sqlite://host/x"),
        ("':memory:'", ":memory:"),
        ("{ env = 'J' }", "{folder}/elsewhere.db"),
    ],
)
def test_the_journal_is_where_the_file_is(load, tmp_path, said, journal):
    """A path is relative to the file, from wherever the program is started."""
    config = load(f"journal = {said}\n{TWO}", {"J": "elsewhere.db"})
    assert config.journal == journal.format(folder=tmp_path)


def test_samplers_and_estimators_are_made_of_it(load):
    """Both primitives are over the one fleet, with the policy of the file."""
    config = load(f"{TWO}\n[policy]\npreset = 'cheapest'")
    sampler = config.sampler(default_shots=7)
    estimator = config.estimator(default_precision=0.5)
    assert sampler.fleet is estimator.fleet is config.fleet
    assert sampler.policy == estimator.policy == cheapest()
    assert (sampler.default_shots, estimator.default_precision) == (7, 0.5)


def keys_in_schema():
    schema = config_schema()
    tables = [schema, *schema["$defs"].values()]
    return {key for table in tables for key in table.get("properties", {})}


def test_the_schema_is_json_and_describes_every_key():
    """An editor can complete and explain all that may be written, and refuses the rest."""
    schema = json.loads(json.dumps(config_schema()))
    tables = {"the file": schema, **schema["$defs"]}
    for name, table in tables.items():
        assert table["additionalProperties"] is False, name
        for key, said in table["properties"].items():
            assert said.get("description"), f"{name}.{key}"
    assert {*REGISTRY["where"], *REGISTRY["minimize"], "any", "all"} <= keys_in_schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_with_nothing_but_qiskit(path):
    """Each example is right as it stands, without an account or a variable."""
    config = load_config(path, environ={})
    assert len(config.fleet) >= 2
    assert config.policy != Policy()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_commented_providers_are_right_too(path):
    """The lines that are commented out in the examples are keys that exist."""
    lines = [line[2:] for line in path.read_text().splitlines() if re.match(r"# \w+ = ", line)]
    allowed = set(config_schema()["$defs"]["MemberTable"]["properties"])
    assert {key for line in lines for key in tomllib.loads(line)} <= allowed
    assert len(EXAMPLES) == 4


# -- what is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["members: is missing"]),
        ("members = []", ["line 1: members: must hold 1 or more, got a list"]),
        ("members = 3", ["line 1: members: must be a list, got 3"]),
        (
            f"{TWO}\njournal = 'x'",
            ["line 9: members[1].journal: unknown key; if it is meant for the"],
        ),
        (f"jornal = 'x'\n{TWO}", ["line 1: jornal: unknown key; did you mean 'journal'?"]),
        (f"journal = 3\n{TWO}", ["journal: must be a path or an address"]),
        ("[[members]]\nname = 'a'", ["line 1: members[0]: must have one of backend, provider"]),
        (f"[[members]]\n{BASIC}\nsimulated = {{}}", ["got backend and simulated"]),
        (f"[[members]]\n{BASIC}\nmethod = 'x'", ["has method, which a member by backend does not"]),
        (f"[[members]]\n{BASIC}\nmode = 'batch'", ["has mode, which a member by backend does"]),
        (
            "[[members]]\nprimitive = 'a:B'\nmode = 'batsch'",
            ["mode: must be one of 'job', 'batch', 'session'; got 'batsch'; did you mean 'batch'"],
        ),
        (
            "[[members]]\nprimitive = 'a:B'\nrun_options = {}",
            ["has run_options, which a member by primitive does not"],
        ),
        (
            "[[members]]\nprimitive = 'a:B'\nprimitive_arguments = {}",
            ["has primitive_arguments, which a member by primitive does not"],
        ),
        (
            "[[members]]\nsimulated = {}\nprimitive = 'a:B'",
            ["has primitive, which a member by simulated does not"],
        ),
        (
            "[[members]]\nmember = 'a:B'\nlimits = { max_shots = 3 }",
            ["has limits, which a member by member does not"],
        ),
        ("[[members]]\nsimulated = {}\nqueue = 3", ["has queue, which a member by simulated"]),
        ("[[members]]\nprovider = 'a:B'", ["must say which backend of the provider"]),
        (
            "[[members]]\nprovider = 'a:B'\nget_backend = 'x'\nmethod = 'y'",
            ["must say which backend of the provider"],
        ),
        ("[[members]]\nprovider = 'a:B'\nmethod = 'x-y'", ["must be the name of a method"]),
        ("[[members]]\nbackend = 'a.b'", ["line 2: members[0].backend: must be an import path"]),
        (f"[[members]]\n{BASIC}\nqueue = -1", ["queue: must be a number of seconds, or"]),
        (f"[[members]]\n{BASIC}\nqueue = 'soon'", ["queue: must be an import path"]),
        (f"[[members]]\n{BASIC}\nspeed = 3", ["speed: must be a table, got 3"]),
        (f"[[members]]\n{BASIC}\nspeed = {{}}", ["speed: a Speed must have a time above zero"]),
        (
            f"[[members]]\n{BASIC}\nspeed = {{ job_seconds = -1 }}",
            ["speed.job_seconds: must be greater than or equal to 0, got -1"],
        ),
        (
            f"[[members]]\n{BASIC}\nspeed = {{ job_second = 1 }}",
            ["speed.job_second: unknown key; did you mean 'job_seconds'?"],
        ),
        (
            "[[members]]\nsimulated = {}\nspeed = { job_seconds = 1 }",
            ["has speed, which a member by"],
        ),
        (f"[[members]]\n{BASIC}\nweight = 0", ["weight: must be greater than 0, got 0"]),
        (
            f"[[members]]\n{BASIC}\nfidelity = 2",
            ["fidelity: must be less than or equal to 1, got 2"],
        ),
        (
            f"[[members]]\n{BASIC}\ncheck = true",
            ["run check_backend(backend) once, and write down what it finds as adaptation = {...}"],
        ),
        (
            f"[[members]]\n{BASIC}\nadaptation = {{ bit_order = 'upwards' }}",
            ["adaptation.bit_order: must be one of 'qiskit', 'reversed'; got 'upwards'"],
        ),
        (
            f"[[members]]\n{BASIC}\nadaptation = {{ unsound = ['rest'] }}",
            [
                "adaptation.unsound[0]: must be one of 'mid-circuit', 'overwritten', 'repeated', 'reset'; got 'rest'"
            ],
        ),
        (
            f"[[members]]\n{BASIC}\nadaptation = {{ unsound = 'reset' }}",
            ["adaptation.unsound: must be a list"],
        ),
        (
            f"[[members]]\n{BASIC}\nadaptation = {{ bitorder = 'reversed' }}",
            ["adaptation.bitorder: unknown key; did you mean 'bit_order'?"],
        ),
        (f"[[members]]\n{BASIC}\nname = true", ["name: must be a text, got true"]),
        (f"[[members]]\n{BASIC}\narguments = []", ["arguments: must be a table, got a list"]),
        (f"[[members]]\n{BASIC}\nlimits = 5", ["limits: must be a table, got 5"]),
        (f"[[members]]\n{BASIC}\ntags = {{}}", ["tags: must be a list, got a table"]),
        (
            f"[[members]]\n{BASIC}\n[members.limits]\nmax_circuit = 3",
            ["line 4: members[0].limits.max_circuit: unknown key; did you mean 'max_circuits'?"],
        ),
        (
            f"[[members]]\n{BASIC}\nlimits.max_shots = 1.5",
            ["max_shots: must be a whole number, got 1.5"],
        ),
        (
            f"[[members]]\n{BASIC}\nlimits.max_shots = 0",
            ["max_shots must be a positive integer, got 0"],
        ),
        (
            f"[[members]]\n{BASIC}\nlimits = {{ min_shots = 9, max_shots = 3 }}",
            ["line 3: members[0].limits: min_shots=9 is above max_shots=3"],
        ),
        ("[[members]]\nsimulated = { job_seconds = -1 }", ["job_seconds must be zero or more"]),
        ("[[members]]\nsimulated = { outages = [[1]] }", ["outages[0]: must hold 2 or more"]),
        (
            "[[members]]\nsimulated = {}\npricing = { tariff = 'braket:ionq_fort' }",
            [f"'braket:ionq_fort' is not one of the {len(tariff_names())} known; did you mean"],
        ),
        (
            "[[members]]\nsimulated = {}\npricing = { tariff = 'azure:pasqal_qpu' }",
            ["members[0].pricing: tariff 'azure:pasqal_qpu' needs usd_per_eur"],
        ),
        (
            "[[members]]\nsimulated = {}\npricing = { usd_per_eur = 1.1 }",
            ["has usd_per_eur, which is for a tariff by name"],
        ),
        (
            "[[members]]\nsimulated = {}\npricing = { per_shot = 1, allowance = { used = 1 } }",
            ["members[0].pricing: has an allowance that does not say its amount"],
        ),
        (
            "[[members]]\nsimulated = {}\npricing = { allowance = { amount = -1, period = 'week' } }",
            [
                "members[0].pricing.allowance.amount: amount must be zero or more",
                "period must be 'day'",
            ],
        ),
        (
            "[[members]]\nname = 'a'\nsimulated = {}\npricing = { tariff = 'ibm:open', allowance = { name = 'x' } }\n"
            "[[members]]\nname = 'b'\nsimulated = {}\npricing = { allowance = { amount = 1, name = 'x' } }",
            ["members: 'a' and 'b' share the allowance 'x', and do not agree on its amount"],
        ),
        (
            "[[members]]\nsimulated = {}\npricing = { per_shot = -1 }",
            ["per_shot must be zero or more"],
        ),
        (TWO.replace('"b"', '"a"'), ["members[1].name: 'a' is the name of members[0] too"]),
    ],
)
def test_a_member_that_is_wrong(problems, text, said):
    """Each mistake is named with its key, what was seen and what is allowed."""
    found = problems(text)
    assert len(found) == len(said)
    for line, part in zip(found, said, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("preset = 'chepest'", f"preset: must be one of {quoted(PRESETS)}"),
        ("preset = 'chepest'", "got 'chepest'; did you mean 'cheapest'?"),
        (
            "preset = 'cheapest'\nminimize = [{ price = 1 }]",
            "has minimize or then beside the preset",
        ),
        ("arguments = { usd_per_hour = 1 }", "has arguments, but no preset to take them"),
        (
            "preset = 'cheapest'\narguments = { usd_per_hour = 1 }",
            "has the argument usd_per_hour, and cheapest takes none",
        ),
        (
            "preset = 'failover'\narguments = { weights = { a = 1 } }",
            "has the argument weights, and failover takes members",
        ),
        (
            "preset = 'balanced'\narguments = { usd_per_hour = -1 }",
            "balanced: usd_per_hour must be",
        ),
        ("preset = 'cheapest'\narguments = {}", "policy.arguments: is empty"),
        ("then = [{ price = 1 }]", "has then, which breaks ties of minimize"),
        (
            "minimize = [{ prize = 1 }]",
            "policy.minimize[0].prize: unknown key; did you mean 'price'?",
        ),
        ("minimize = [{ price = -1 }]", "must be a finite number, at least 0; got -1"),
        ("minimize = []", "policy.minimize: must hold 1 or more"),
        ("minimize = [{}]", "policy.minimize[0]: is empty"),
        ("minimize = ['price']", "policy.minimize[0]: must be a table, got 'price'"),
        ("where = { max_price = 5 }", "policy.where: must be a list, got a table"),
        ("where = [{ any = [{ max_prise = 1 }] }]", "where[0].any[0].max_prise: unknown key"),
        ("where = [{ tagged = [] }]", "Tagged needs at least one name"),
        ("where = [{ min_fidelity = 2 }]", "must be a finite number, from 0 to 1; got 2"),
        ("where = [{ any = [] }]", "any: must hold 1 or more"),
        ("spread = 'row'", f"policy.spread: must be one of {quoted(get_args(Spread))}; got 'row'"),
        ("deadline_seconds = 0", "deadline_seconds must be above 0, got 0"),
        ("deadline_seconds = '1 h'", "deadline_seconds: must be a number, got '1 h'"),
        ("submit_seconds = inf", "submit_seconds must be a finite number"),
        ("retry = { max_atempts = 1 }", "policy.retry.max_atempts: unknown key; did you mean"),
        ("retry = { on_unknown = 'moov' }", "did you mean 'move'?"),
        ("budget = { per_member_usd = { a = -1 } }", "per_member_usd of 'a' must be a finite"),
        # Names of members are those of the file.
        ("where = [{ named = ['c'] }]", "policy.where[0].named[0]: there is no member 'c'"),
        (
            "preset = 'failover'\narguments = { members = ['a', 'bb'] }",
            "members[1]: there is no member 'bb'; did you mean 'b'? (there are a, b)",
        ),
        (
            "preset = 'weighted'\narguments = { weights = { c = 1 } }",
            "weights.c: there is no member",
        ),
        ("budget = { per_member_usd = { 'x y' = 1 } }", "per_member_usd.'x y': there is no member"),
        ("budget = { per_user_day_usd = { ana = 1 } }", "policy.share.user does not say for whom"),
        ("minimize = [{ order_of = ['c'] }]", "order_of[0]: there is no member 'c'"),
    ],
)
def test_a_policy_that_is_wrong(problems, text, said):
    """Each mistake is named with its key, what was seen and what is allowed."""
    (found,) = problems(f"{TWO}\n[policy]\n{text}")
    assert said in found
    assert re.match(r"line \d+: policy", found)


def test_all_problems_are_told_at_once(problems):
    """Nobody mends a file one error at a time; they come in the order of the lines."""
    text = """
        jornal = "x"
        [[members]]
        simulated = { queue_second = 1, job_seconds = -1 }
        limits = { max_circuits = 0, max_shots = "many" }
        [policy]
        preset = "chepest"
        retry = { max_attempts = 0 }
        """
    lines = [int(re.match(r"line (\d+)", line)[1]) for line in problems(text)]
    assert lines == [2, 4, 4, 5, 5, 7, 8]


SOUND = """\
# A comment.
journal = "a = b"

[[members]]
name = "a"
simulated = {}
tags = [
  "x",
  "y = 1",
]

[members.limits]
max_shots = 3

[[members]]
name = "b"
simulated = { queue_seconds = 1 }

[policy]
where = [
  { max_price = 5 },  # A comment.
  { any = [{ tagged = ["x"] }] },
]

[policy.retry]
max_attempts = 3
""".splitlines()
# Between the lines of a list nothing can be added.
GAPS = [gap for gap in range(len(SOUND) + 1) if gap not in {7, 8, 9, 19, 20, 21, 22}]


@given(st.sampled_from(GAPS), st.sampled_from(["\n", "\r\n"]))
def test_a_misspelt_key_is_found_on_its_line(tmp_path_factory, gap, end):
    """Wherever a key stands that nobody knows, its line is told, and its table."""
    lines = [*SOUND[:gap], "zzz = 1", *SOUND[gap:]]
    path = tmp_path_factory.getbasetemp() / "gap.toml"
    path.write_bytes(end.join(lines).encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    (_, line) = str(caught.value).split("\n")
    assert line.startswith(f"  line {gap + 1}: ")
    assert ".zzz: unknown key" in line or " zzz: unknown key" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = ", "fleet.toml is not TOML: Invalid value (at"),
        (b"a = '\xff'", "fleet.toml is not UTF-8"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path, content, said):
    """What cannot be read at all says where."""
    path = tmp_path / "fleet.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)


def test_a_mark_of_encoding_is_no_error(tmp_path):
    """Files of editors that begin with a byte order mark are read."""
    path = tmp_path / "fleet.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TWO.encode())
    assert load_config(str(path)).fleet.names == ("a", "b")


def test_a_file_that_is_not_there(tmp_path):
    """A missing file is what it is everywhere in Python."""
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.toml")


# -- secrets ---------------------------------------------------------------------------------

HIDDEN = "s3cr3t-value-000"


@pytest.mark.parametrize(
    "text",
    [
        f"arguments = {{ token = '{HIDDEN}' }}",
        f"arguments = {{ apiKey = '{HIDDEN}' }}",
        f"arguments = {{ deep = [{{ x_api_key = '{HIDDEN}' }}] }}",
        f"arguments = {{ passwords = ['{HIDDEN}'] }}",
        f"arguments = {{ url = 'https://me:{HIDDEN}@host' }}",
        f"run_options = {{ client_secret = '{HIDDEN}' }}",
        f"argument = {{ token = '{HIDDEN}' }}",
        f"token = '{HIDDEN}'",
        f"token = ['{HIDDEN}']",
        f"limits = {{ token = '{HIDDEN}' }}",
        f"weight = {{ token = '{HIDDEN}' }}",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(problems, text):
    """Wherever a secret is written out, it is refused by its key, and never shown."""
    found = "\n".join(problems(f"[[members]]\n{BASIC}\n{text}"))
    assert "set an environment variable" in found or "must not hold a password" in found
    assert HIDDEN not in found
    assert "line 3" in found


def test_what_stands_under_a_secret_key_is_not_shown(problems):
    """Also another complaint about such a key keeps its value to itself."""
    text = f"{TWO}\n[policy.budget.per_member_usd]\ntoken = '{HIDDEN}'"
    wrong_type, refused = problems(text)
    assert wrong_type.endswith(
        "token: a secret must not be written here: set an environment "
        "variable and name it, token = { env = 'TOKEN' }"
    )
    assert refused.endswith("must be a number, got something that is not shown")


def test_numbers_may_be_secrets_and_empty_texts_are_none(problems, load, module):
    """A number is refused under such a key; an empty text, which some providers want, is not."""
    assert "12345" not in str(problems(f"[[members]]\n{BASIC}\narguments = {{ token = 12345 }}"))
    own = module(PROVIDER)
    load(
        f"[[members]]\nprovider = '{own}:Provider'\nget_backend = 'x'\narguments = {{ token = '' }}"
    )
    assert __import__(own).asked[0] == {"token": ""}


@pytest.mark.parametrize("environ", [{}, {"NO_SUCH": ""}])
def test_a_missing_variable_is_named(problems, environ):
    """The key and the variable are told, before anything is imported."""
    text = "[[members]]\nprovider = 'no.such:P'\nget_backend = 'x'\n"
    (found,) = problems(f"{text}arguments = {{ token = {{ env = 'NO_SUCH' }} }}", environ)
    assert found == (
        "line 4: members[0].arguments.token: the environment variable NO_SUCH is not set"
    )


def test_a_text_of_the_policy_may_come_from_the_environment(load, problems):
    """One file serves many users: each is themselves, and no text hides who that is."""
    text = f"{TWO}[policy.share]\nuser = {{ env = 'WHO' }}\nweight = 2\n"
    for user in ("ana-of-the-lab", "ben"):
        share = load(text, {"WHO": user}).policy.share
        assert share == Share(user=user, weight=2.0)
        assert redact(f"runs of {user}") == f"runs of {user}"
    assert problems(text, {}) == [
        "line 9: policy.share.user: the environment variable WHO is not set"
    ]
    (found,) = problems(text.replace("2", "{ env = 'WHO' }"), {"WHO": "2"})
    assert "policy.share.weight: must be a number, got a table" in found


def test_a_secret_of_the_policy_is_kept_out_of_texts():
    """A filter of one's own may need a token, which is as secret there as at a member."""
    document = {
        "policy": {"where": [{"mine": {"token": {"env": "MINE"}, "site": {"env": "SITE"}}}]}
    }

    keep_secrets(document, {"MINE": "opensesame-of-mine", "SITE": "the-lab-in-town"})

    assert "opensesame" not in redact("refused: opensesame-of-mine")
    assert redact("runs in the-lab-in-town") == "runs in the-lab-in-town"


def test_the_process_environment_is_the_default(tmp_path, monkeypatch):
    """Without another place to look, variables are those of the process."""
    monkeypatch.setenv("QG_JOURNAL", "there.db")
    path = tmp_path / "fleet.toml"
    path.write_text(f"journal = {{ env = 'QG_JOURNAL' }}\n{TWO}")
    assert load_config(path).journal == str(tmp_path / "there.db")


@pytest.mark.parametrize("secret", [HIDDEN, "abc"])
def test_an_error_of_a_provider_hides_what_it_was_given(problems, module, secret):
    """A provider that repeats its token in an error does not make it ours."""
    own = module(PROVIDER)
    text = f"[[members]]\nprovider = '{own}:Broken'\nget_backend = 'x'\n"
    (found,) = problems(
        f"{text}arguments = {{ token = {{ env = 'T' }}, list = [{{ env = 'T' }}] }}", {"T": secret}
    )
    assert found.startswith("line 2: members[0].provider: cannot be made: RuntimeError: refused")
    assert HIDDEN not in found


# -- code ------------------------------------------------------------------------------------


def test_code_is_imported_only_when_the_file_is_right(problems, module, load):
    """A file with a mistake runs nobody's code."""
    own = module("raise SystemError('imported')")
    text = f"[[members]]\nbackend = '{own}:Backend'\n"
    assert "unknown key" in problems(f"{text}wieght = 1")[0]
    assert f"{own} cannot be imported: SystemError: imported" in problems(text)[0]


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("backend = 'no_such_package:X'", "backend: no_such_package cannot be imported: Module"),
        ("backend = '{own}:Provder'", "backend: {own} has no 'Provder'; did you mean 'Provider'?"),
        ("backend = '{own}:number'", "backend: 'number' is int and cannot be called"),
        ("backend = '{own}:Provider'", "backend: gave Provider, which is no qiskit BackendV2"),
        (
            "backend = 'qiskit.providers.basic_provider:BasicSimulator'\nqueue = '{own}:nothing'",
            "queue: {own} has no 'nothing'",
        ),
        (
            "backend = 'qiskit.providers.fake_provider:GenericBackendV2'",
            "backend: cannot be made: TypeError",
        ),
        (
            "provider = '{own}:Provider'\nmethod = 'offline.idal'",
            "has no 'idal'; did you mean 'ideal'?",
        ),
        ("provider = '{own}:Broken.x'\nmethod = 'y'", "provider: Broken has no 'x'"),
        (
            "primitive = '{own}:Provider'",
            "primitive: gave Provider, which is no SamplerV2, nor an EstimatorV2",
        ),
        ("member = '{own}:Provider'", "member: gave Provider, which has not the attributes and"),
        (
            "primitive = 'qiskit.primitives:StatevectorSampler'\nmode = 'batch'",
            "primitive: cannot be a member: StatevectorSampler has no mode 'batch'",
        ),
        (
            f"{BASIC}\nprimitive = 'qiskit.primitives:StatevectorSampler'",
            "primitive: cannot be made: TypeError",
        ),
    ],
)
def test_a_member_that_cannot_be_made(problems, module, member, said):
    """What goes wrong outside the file is told at the key that led there."""
    own = module(PROVIDER)
    found = problems(f"{TWO}[[members]]\n{member.format(own=own)}")
    assert len(found) == 1
    assert f"members[2].{said.format(own=own)}" in found[0] or said.format(own=own) in found[0]


def test_every_member_that_cannot_be_made_is_told(problems):
    """One broken provider does not hide another."""
    found = problems("[[members]]\nbackend = 'no_such:X'\n[[members]]\nbackend = 'nor_this:X'")
    assert len(found) == 2


def test_inf_is_no_limit_only_where_there_may_be_none(problems, load):
    """For ever is a value of what may last for ever, and of nothing else."""
    assert load(f"{TWO}\n[policy]\ndeadline_seconds = inf").policy.deadline_seconds is None
    assert not math.isinf(load(TWO).policy.submit_seconds)
    (found,) = problems(f"{TWO}\n[policy]\ncancel_seconds = inf")
    assert "cancel_seconds must be a finite number" in found


def test_the_page_names_every_key():
    """Whoever has read the one page has seen every key, every preset and every rule of cutting."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    table = page[page.index("## Every key") : page.index("For completion")]
    said = {word for code in re.findall(r"`([^`]*)`", table) for word in re.findall(r"\w+", code)}
    assert keys_in_schema() | set(PRESETS) | set(SPLIT_RULES) <= said


@pytest.mark.parametrize("secret", ["plain-words-only", 'a1/b+c=d&e f"g', "pass-7"])
def test_a_secret_of_the_environment_is_hidden_in_every_text(load, secret):
    """It is known by its value, so neither its form nor how a provider writes it matters."""
    load(f"journal = {{ env = 'K' }}\n{TWO}", {"K": secret})
    for written in (
        secret,
        quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        quote(secret, safe="").lower(),
        quote_plus(secret),
        json.dumps({"key": secret}),
        json.dumps(json.dumps(secret)),
    ):
        assert written not in redact(f"401: {written} (GET /jobs?k={written})"), written
    for user in ("", "u:", "us:") if len(secret) > 8 else ():
        encoded = base64.b64encode(f"{user}{secret}".encode()).decode()
        assert encoded[4:-4] not in redact(f"header {encoded} refused")


def test_reading_a_text_for_secrets_takes_linear_time(load):
    """Providers send whole pages, and what they consist of must not matter."""
    load(f"journal = {{ env = 'K' }}\n{TWO}", {"K": "k" * 9})
    started = time.process_time()
    redact("a+/" * 200_000)
    assert time.process_time() - started < 5


def test_members_on_workers(load, tmp_path):
    """A pool of processes, and an executor of anybody's, run the backend that the table names."""
    table = f"[[members]]\n{BASIC}\nlimits = {{ max_circuits = 3 }}\n[members.executor]\n"
    pooled = load(table + 'kind = "process"\nworkers = 3').fleet["basic_simulator"]
    assert pooled.limits == Limits(max_circuits=3, max_in_flight=3, num_qubits=24)
    made = load(table + 'factory = "executor_backends:make_threads"').fleet["basic_simulator"]
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    result = RouterSampler(made).run([circuit], shots=10).result(timeout=60)
    assert result[0].data.c.get_counts() == {"0": 10}


def test_targets_of_members_on_workers(load):
    """What to compile for is told by what the file names."""
    executor = '[members.executor]\nfactory = "executor_backends:make_threads"'
    missing = '[[members]]\nbackend = "no_such_package:Simulator"\nname = "gpu"\n'
    target = 'target = "qiskit.providers.basic_provider:BasicSimulator"\n'
    assert load(missing + target + executor).fleet["gpu"].limits.num_qubits == 24


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("", "must have one of kind and factory"),
        ('kind = "dask"', "must have the address of the scheduler"),
        ('kind = "process"\naddress = "tcp://a:1"', "has address, which is for kind = 'dask'"),
        ('kind = "process"\nfactory = "a:b"', "must have one of kind and factory"),
        ('kind = "process"\nworkers = 0', "workers"),
        ('kind = "slurm"', "kind"),
        ('kind = "dask"\naddress = "no-such-scheme://x"', "does not answer"),
        ('factory = "executor_backends:not_a_backend"', "returned 3, which is no"),
        ('factory = "no_such_package:make"', "cannot be imported"),
    ],
)
def test_executors_said_wrong(problems, table, text):
    """Each is a problem of the file."""
    assert text in str(problems(f"[[members]]\n{BASIC}\n[members.executor]\n{table}\n"))


def test_executors_are_for_backends_by_path(problems):
    """A simulated member has none, nor is a target of use without."""
    said = "[[members]]\nsimulated = {}\n[members.executor]\nkind = 'process'\n"
    assert "has executor, which a member by simulated does not" in str(problems(said))
    assert "has target" in str(problems(f'[[members]]\n{BASIC}\ntarget = "a:b"\n'))

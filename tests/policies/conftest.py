"""How hypothesis builds what the laws of the policies speak of."""

from hypothesis import strategies as st

from qiskit_gateway.policies import (
    FailureRate,
    Filter,
    Finish,
    Hours,
    Infidelity,
    InFlight,
    MaxDataAge,
    MaxFailureRate,
    MaxPrice,
    MaxWait,
    MinFidelity,
    Named,
    NotTagged,
    Objective,
    Offer,
    Order,
    OrderOf,
    Pending,
    Price,
    Run,
    RunHours,
    Tagged,
    Wait,
    Work,
    WorkShare,
)
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.filters import Anything, Deadline

shares = st.floats(0, 1)
amounts = st.floats(0, 1e6)
names = st.sampled_from(["ada", "bea", "cyd", "dan"])

st.register_type_strategy(
    Offer,
    st.builds(
        Offer,
        member=names,
        circuits=st.integers(1, 1000),
        shots=st.integers(1, 100_000),
        price_usd=amounts,
        wait_seconds=amounts,
        run_seconds=amounts,
        fidelity=st.none() | shares,
        in_flight=st.integers(0, 100),
        pending_jobs=amounts,
        work_assigned=amounts,
        weight=st.just(0.0) | st.floats(0.01, 100),
        order=st.integers(0, 10),
        failure_rate=shares,
        tags=st.frozensets(names),
        data_age_seconds=amounts,
    ),
)
st.register_type_strategy(
    Filter,
    st.one_of(
        st.just(Anything()),
        st.builds(MinFidelity, shares),
        st.builds(MaxFailureRate, shares),
        st.sampled_from([MaxPrice, MaxWait, Deadline, MaxDataAge]).flatmap(
            lambda kind: st.builds(kind, amounts)
        ),
        st.sampled_from([Tagged, NotTagged, Named]).flatmap(
            lambda kind: st.lists(names, min_size=1, unique=True).map(lambda some: kind(*some))
        ),
    ),
)
st.register_type_strategy(
    Objective,
    st.sampled_from(
        [
            FailureRate(),
            Finish(),
            Hours(),
            InFlight(),
            Infidelity(),
            Order(),
            OrderOf("bea", "ada"),
            Pending(),
            Price(),
            Run(),
            RunHours(),
            Wait(),
            Work(),
            WorkShare(),
            WorkShare({"ada": 3.0, "bea": 0.0}),
        ]
    ),
)
st.register_type_strategy(
    Failure,
    st.builds(
        Failure,
        transient=st.sampled_from([True, False, None]),
        throttled=st.booleans(),
        retry_after_seconds=st.none() | st.floats(0, 1e5),
        fault=st.sampled_from(["caller", "backend", "network"]),
        submitted=st.sampled_from([True, False, None]),
        authentication=st.booleans(),
        bad_result=st.booleans(),
        unreadable=st.booleans(),
        unbilled=st.booleans(),
    ),
)

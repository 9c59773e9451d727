"""Several policies tried out on one's own fleet: what each would cost, and when all would be done."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qiskit.primitives.containers import SamplerPubLike

from qiskit_gateway.backends.fleet import Backends, Fleet
from qiskit_gateway.display.tables import Remark, render_html, render_text
from qiskit_gateway.display.units import span
from qiskit_gateway.forecast.simulation import Simulation, simulate
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.reporting.pictures import draw_points, list_unbeaten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEAD = ("policy", "USD", "done in", "jobs", "failures", "members", "not done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same work on the same fleet under several policies.

    Attributes:
        simulations: The simulation of each, by the name of the policy.
    """

    simulations: Mapping[str, Simulation]

    def __getitem__(self, policy: str) -> Simulation:
        """The quote or simulation under one policy.

        Raises:
            KeyError: If there is none of that name.
        """
        if policy not in self.simulations:
            raise KeyError(f"no policy {policy!r}; there are {', '.join(self.simulations)}")
        return self.simulations[policy]

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """Names of the policies that no other one beats in price and time, the soonest first.

        Those that leave work undone are not among them.
        """
        whole = {name: one for name, one in self.simulations.items() if not one.given_up}
        return tuple(list_unbeaten({name: _place(one) for name, one in whole.items()}))

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, fit for JSON: by policy, price, time and use of members."""
        return {
            name: {
                "cost_usd": one.cost_usd,
                "makespan_seconds": one.makespan_seconds,
                "shots_not_done": _count_lost_shots(one),
                "members": {member: asdict(use) for member, use in one.members.items()},
            }
            for name, one in self.simulations.items()
        }

    def __str__(self) -> str:
        """A table, a line for each policy."""
        return render_text(self._rows(), self._remarks())

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        return render_html(self._rows(), self._remarks(), footed=False)

    def draw(self) -> "Figure":
        """Draw price against time, a point for each policy.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        points = {
            f"{name} (not all done)" if one.given_up else name: _place(one)
            for name, one in self.simulations.items()
        }
        return draw_points(points, "what time costs on this fleet")

    def _rows(self) -> list[tuple[str, ...]]:
        return [_HEAD, *(_write_row(name, one) for name, one in self.simulations.items())]

    def _remarks(self) -> list[Remark]:
        best = self.unbeaten
        if not best:
            return []
        return [Remark(f"no other policy is both cheaper and sooner than: {', '.join(best)}")]


def compare(
    fleet: Backends,
    pubs: Iterable[SamplerPubLike],
    policies: Mapping[str, Policy],
    *,
    shots: int | None = None,
    seed: int | None = 0,
) -> Comparison:
    """Try out several policies on the same work, each by :func:`~qiskit_gateway.simulate`.

    Nothing is sent. Real members are replaced by models of what is known of them.

    Args:
        fleet: A fleet, or whatever makes one. It is not changed.
        pubs: Sampler PUBs.
        policies: By names of your own, such as ``{"cheap": cheapest(), "soon": fastest()}``.
        shots: Shots of PUBs that do not say; 1024 by default.
        seed: Seed of the simulated randomness, the same for each policy.

    Raises:
        TypeError: If the policies are not named.
        ValueError: If there are none.
    """
    if not isinstance(policies, Mapping):
        raise TypeError(
            "policies are given by names of your own, such as "
            f'{{"cheap": cheapest(), "soon": fastest()}}; got {policies!r}'
        )
    if not policies:
        raise ValueError("there is no policy to compare: give at least one, by a name")
    made, work = Fleet.coerce(fleet), list(pubs)
    for policy in policies.values():
        Policy.coerce(policy).check_names(made.names)
    return Comparison(
        simulations={
            str(name): simulate(made, work, policy=policy, shots=shots, seed=seed)
            for name, policy in policies.items()
        }
    )


def _place(one: Simulation) -> tuple[float, float]:
    return one.makespan_seconds, one.cost_usd


def _count_lost_shots(one: Simulation) -> int:
    return sum(given_up.piece.circuit_shots for given_up in one.given_up)


def _write_row(name: str, one: Simulation) -> tuple[str, ...]:
    uses = one.members.values()
    return (
        name,
        f"{one.cost_usd:.4f}",
        span(one.makespan_seconds),
        str(sum(use.jobs for use in uses)),
        str(sum(use.failures for use in uses)),
        str(sum(use.jobs > 0 for use in uses)),
        f"{_count_lost_shots(one)} shots" if one.given_up else "-",
    )

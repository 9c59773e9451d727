"""The jobs that do some work at the least price and worth of time, by integer programming.

A member's price is lines, so all that counts is how many jobs it does of the sizes of each line, and how
many units these have together. Those numbers and the end of the run are the variables, and how often a
member's slots are filled where it takes few jobs at once: each time its jobs queue anew.

Whether a member has to wait for its queue would be one more for each, and make the program slow to solve.
So it is solved anew for each moment at which a queue ends: nobody takes part whose queue is longer, and
the run ends no earlier.

To solve it takes long, beside what else a scheduler does: a :class:`Problem` is a value that may be taken
to another thread.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from qiskit_gateway.scheduling.allocation.bids import (
    Bid,
    Floats,
    capacities,
    level_seconds,
)

Jobs = Mapping[str, Sequence[int]]
Prefer = Callable[[str, int, int], tuple[float, ...]]

# Of up to so many lines, those of eight members with a fee and a floor, HiGHS finds the best numbers of jobs
# in 15 to 80 ms. Of more, it is given those next to what they would be if jobs could be divided, one apart for
# the lines that come first there: thirty members take 35 to 200 ms, a hundred 150 to 500.
_FEW_LINES, _NEAR_LINES = 24, 32
# A division may be so much dearer than the least: of few lines, of more, and where only money counts.
_GAP, _MORE_GAP, _NO_GAP = 1 / 2000, 1 / 200, 1e-9
# So many ends of queues are looked at of few lines, those that promise most; of more lines one.
_ENDS = 3
# After so many branches the best by then is taken: a limit in seconds would not always find the same.
_BRANCHES = 100
# None of these takes longer: ten times what the worst of some thousand drawn problems took, of up to a hundred
# members. Where one does, what was found by then is not looked at, for the same reason.
_SECONDS = 10.0
# What scipy says where a limit ended the search.
_STOPPED = 1
# More units than these are counted in full jobs, and rounded: one more or less at a member is no matter then.
_FEW_UNITS = 1000
# A unit of a credit of which no more is sold counts as so many times the dearest job of one unit.
_NEVER = 1000.0
# HiGHS takes what differs by 1e-6 as equal: so costs are scaled to about this.
_COSTS = 1e3
_NEAR, _INTEGER, _TIE = 1e-9, 1e-6, 1e-3


@dataclass(frozen=True, slots=True)
class Division:
    """The sizes of jobs by member, what they cost, and when all are done."""

    jobs: Jobs
    usd: float
    seconds: float

    @classmethod
    def of(cls, bids: Sequence[Bid], jobs: Jobs) -> "Division":
        """Price and time jobs."""
        pots = _pots_of(bids)
        usd, seconds, asked = 0.0, 0.0, dict.fromkeys(pots, 0.0)
        for bid in bids:
            sizes = jobs.get(bid.member, ())
            price = sum(map(bid.price, sizes))
            if bid.credit is None:
                usd += price
            else:
                asked[bid.credit.pot] += price
            usd += bid.other_usd * sum(sizes)
            seconds = max(seconds, bid.seconds(sum(sizes), len(sizes)))
        for pot, (left, rate) in pots.items():
            beyond = asked[pot] - left
            usd += rate * beyond if beyond > _NEAR * asked[pot] else 0.0
        return cls(jobs, usd, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What time is worth.

    Attributes:
        usd_per_second: What it is worth to be done a second earlier.
        horizon: When all should be done, in seconds from now. If no division can, the one that is
            done first is best.
        busy_seconds: Until when other work lasts, so that to be done earlier is worth nothing.
    """

    usd_per_second: float = 0.0
    horizon: float = math.inf
    busy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """Some work, and who may do it at what price. Call it to have it solved, which takes long.

    Attributes:
        bids: The members that may take units.
        units: How many there are.
        worth: What time is worth.
    """

    bids: tuple[Bid, ...]
    units: int
    worth: Worth

    def __call__(self) -> Division:
        """Return the jobs of the least price and worth of time; the filled ones if none are found."""
        try:
            return _solve(self)
        # Its time was over, or scipy is not there or broken. There is work to be done all the same; any
        # other error is a fault, and has to be seen.
        except (TimeoutError, ImportError, OSError):
            return self.filled

    @property
    def easy(self) -> Division | None:
        """The best jobs, if they are known without a solver."""
        worth, bids = self.worth, self.bids
        if len(bids) == 1 and bids[0].plain:
            return Division.of(bids, {bids[0].member: bids[0].cut(self.units)})
        free = worth.usd_per_second and all(bid.free for bid in bids)
        late = worth.horizon < math.inf and worth.horizon < level_seconds(bids, self.units)
        if free or late:
            return self.filled
        return None

    @property
    def filled(self) -> Division:
        """The jobs if members were filled from the least price of a unit on, as fast as that is worth."""
        level = level_seconds(self.bids, self.units)
        seconds = level if self.worth.usd_per_second else max(level, self.worth.horizon)
        return Division.of(self.bids, fill(self.bids, self.units, seconds))


def _solve(problem: Problem) -> Division:
    bids, worth = problem.bids, problem.worth
    usd_per_second, horizon = worth.usd_per_second, worth.horizon
    program = _Program(bids, problem.units, usd_per_second)
    if not usd_per_second:
        cheapest = Division.of(bids, program.cheapest(math.inf))
        if horizon == math.inf:
            return cheapest
        cheapest = Division.of(bids, share_out(bids, cheapest.jobs))
        if cheapest.seconds <= horizon:
            return cheapest
        return Division.of(bids, program.cheapest(horizon))
    fastest, earliest = problem.filled, max(program.level, worth.busy_seconds)
    # Whatever ends later is worse than the fastest.
    latest = min(horizon, earliest + fastest.usd / usd_per_second)
    found = program.best(earliest, latest)
    # What is found is the least but for a gap, in which the fastest may be.
    ways = [fastest] if found is None else [fastest, Division.of(bids, found)]
    return min(
        ways, key=lambda one: one.usd + usd_per_second * max(one.seconds, worth.busy_seconds)
    )


def _pots_of(bids: Sequence[Bid]) -> dict[str, tuple[float, float]]:
    """Return what is left of each pot, and what a unit beyond costs."""
    pots: dict[str, tuple[float, float]] = {}
    dearest = max(bid.price(1) for bid in bids)
    for bid in bids:
        if (credit := bid.credit) is not None:
            never = _NEVER * max(1.0, dearest / max(bid.price(1), _NEAR))
            rate = credit.usd_per_unit if credit.usd_per_unit < math.inf else never
            pots.setdefault(credit.pot, (credit.left, rate))
    return pots


def fill(bids: Sequence[Bid], units: int, seconds: float) -> dict[str, list[int]]:
    """Fill members up to some time, those of the least price of a unit first."""
    most = capacities(bids, seconds, units)

    def rate(place: int) -> float:
        bid, sizes = bids[place], bids[place].cut(int(most[place]))
        return bid.other_usd + sum(map(bid.price, sizes)) / float(most[place])

    jobs, left = {}, units
    for place in sorted(np.flatnonzero(most).tolist(), key=rate):
        if taken := min(left, int(most[place])):
            jobs[bids[place].member] = bids[place].cut(taken)
            left -= taken
    return jobs


def share_out(
    bids: Sequence[Bid], jobs: Jobs, prefer: Prefer | None = None
) -> dict[str, list[int]]:
    """Let the preferred of those that are equally cheap do each job, the largest first.

    Args:
        bids: The members.
        jobs: What they do.
        prefer: What orders equals for a job: of a member, what it has, and the size of the job. When
            they would be done with it, if not given.
    """
    by_name = {bid.member: bid for bid in bids}
    taken: dict[str, list[int]] = {bid.member: [] for bid in bids}
    held = dict.fromkeys(taken, 0)

    @cache
    def find_equals(member: str, size: int) -> list[Bid]:
        one = by_name[member]
        return [bid for bid in bids if bid is one or bid.is_as_cheap(one, size)]

    # Of all that might do a job, only the one that did the last has another than before.
    @cache
    def key(member: str, held: int, jobs: int, size: int) -> tuple[float, ...]:
        if prefer is None:
            return (by_name[member].seconds(held + size, jobs + 1),)
        return prefer(member, held, size)

    largest_first = sorted(
        ((size, member) for member, sizes in jobs.items() for size in sizes),
        key=lambda job: -job[0],
    )
    for size, found in largest_first:
        equals = find_equals(found, size)
        taker = equals[0].member
        if len(equals) > 1:
            names = [bid.member for bid in equals]
            taker = min(names, key=lambda name: key(name, held[name], len(taken[name]), size))
        taken[taker].append(size)
        held[taker] += size
    return {member: sizes for member, sizes in taken.items() if sizes}


class _Program:
    """The integer program of some bids.

    Its variables are the end of the run, the jobs of each line, the units of each line, what is taken
    of each pot beyond what is left, and how often the slots are filled of members whose jobs queue anew.
    """

    def __init__(self, bids: Sequence[Bid], units: int, usd_per_second: float) -> None:
        self._bids, self._units = bids, units
        self._usd_per_second = usd_per_second
        self._lines = [(bid, line) for bid in bids for line in bid.lines]
        self._few = len(self._lines) <= _FEW_LINES
        self._gap = _NO_GAP if not usd_per_second else _GAP if self._few else _MORE_GAP
        self.level = level_seconds(bids, units)
        # What differs by 1e-6 is equal to HiGHS, so that its variables are to be of the order of one.
        self._scale = max(bid.most for bid in bids) if units > _FEW_UNITS else 1
        self._second = max(self.level, _NEAR)
        self._pots = _pots_of(bids)
        self._queuing = [bid.member for bid in bids if bid.again_seconds]

    def cheapest(self, horizon: float) -> Jobs:
        """Return the jobs of the least price by a horizon."""
        found = self._solve(horizon, horizon)
        return fill(self._bids, self._units, horizon) if found is None else self._jobs(found[1])

    def best(self, earliest: float, latest: float) -> Jobs | None:
        """Return the best jobs that end in some time, if any are found."""
        ends = sorted({max(earliest, bid.wait_seconds) for bid in self._bids})
        relaxed = [(self._relax(end, latest), end) for end in ends if end <= latest]
        promising = sorted((least, end, jobs) for (least, jobs), end in relaxed if jobs)
        best = None
        for least, end, jobs in promising[: _ENDS if self._few else 1]:
            if best is None or least < best[0] * (1 - self._gap):
                found = self._solve(end, latest, None if self._few else jobs)
                best = min(filter(None, (best, found)), key=lambda one: one[0], default=None)
        return None if best is None else self._jobs(best[1])

    def _solve(
        self,
        earliest: float,
        latest: float,
        jobs: tuple[tuple[float, float], ...] | None = None,
    ) -> tuple[float, Floats] | None:
        """Return the value and the variables of the best division that ends in some time, if found.

        Args:
            earliest: The run ends no earlier, and members whose queue is longer take no part.
            latest: Nor later.
            jobs: The least and the most jobs of each line, if not any number.
        """
        # Half a second to import, unless circuits were compiled before; and few runs need it.
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415

        count, pots, (costs, rows, total, _) = len(self._lines), len(self._pots), self._stated
        queuing = len(self._queuing)
        lower, upper, limits = self._limits(earliest, latest)
        units = self._units / self._scale
        if jobs is not None:
            lower[1 : 1 + count], upper[1 : 1 + count] = np.array(jobs).T
        found = milp(
            costs,
            integrality=np.repeat(
                [0, 1, int(self._scale == 1), 0, 1], [1, count, count, pots, queuing]
            ),
            bounds=Bounds(lower, upper),
            constraints=[
                LinearConstraint(rows, -np.inf, limits),
                LinearConstraint(total, units, units),
            ],
            options={
                "mip_rel_gap": self._gap,
                "node_limit": _BRANCHES,
                "time_limit": _SECONDS,
            },
        )
        if found.status == _STOPPED and (found.mip_node_count or 0) < _BRANCHES:
            raise TimeoutError
        return None if found.x is None else (found.fun, found.x)

    def _relax(
        self, earliest: float, latest: float
    ) -> tuple[float, tuple[tuple[float, float], ...]]:
        """Return the value if jobs could be divided, and the numbers of jobs near to that."""
        from scipy import optimize  # noqa: PLC0415

        linprog: Any = optimize.linprog  # Its types know no sparse matrix.
        count, (costs, rows, total, _) = len(self._lines), self._stated
        lower, upper, limits = self._limits(earliest, latest)
        found = linprog(
            costs,
            A_ub=rows,
            b_ub=limits,
            A_eq=total,
            b_eq=[self._units / self._scale],
            bounds=np.array([lower, upper]).T,
            method="highs",
            options={"time_limit": _SECONDS},
        )
        if found.status == _STOPPED:
            raise TimeoutError
        if found.x is None:
            return math.inf, ()
        jobs, units = found.x[1 : 1 + count], found.x[1 + count : 1 + 2 * count]
        # What a full job more would cost, of the lines that are not used.
        more = found.lower.marginals[1 : 1 + count]
        more += found.lower.marginals[1 + count : 1 + 2 * count] * self._sizes[1] / self._scale
        first = np.argsort(np.where(units > 0, -1.0, more), kind="stable")
        spare = np.zeros(count)
        spare[first[:_NEAR_LINES]] = 1
        least = np.maximum(0, np.floor(jobs + _INTEGER) - spare)
        most = np.minimum(np.ceil(jobs - _INTEGER) + spare, upper[1 : 1 + count])
        return found.fun, tuple(zip(least.tolist(), most.tolist(), strict=True))

    def _limits(self, earliest: float, latest: float) -> tuple[Floats, Floats, Floats]:
        """Return the least and the most of the variables, and of the rows."""
        waits = np.array([bid.wait_seconds for bid in self._bids])
        again = np.array([bid.again_seconds for bid in self._bids])
        takes_part = waits <= earliest
        able = np.where(takes_part, capacities(self._bids, latest, self._units), 0)
        most = np.repeat(able, [len(bid.lines) for bid in self._bids])
        count, pots = len(self._lines), len(self._pots)
        begin = 0.0 if earliest == math.inf else earliest
        queuing = len(self._queuing)
        lower = np.concatenate([[begin / self._second], np.zeros(2 * count + pots + queuing)])
        jobs = np.ceil(most / self._sizes[0])
        upper = np.concatenate(
            [[latest / self._second], jobs, most / self._scale, np.full(pots + queuing, np.inf)]
        )
        left = [left for left, _ in self._pots.values()]
        # The first time that slots are filled counts as every other.
        ends = -np.where(takes_part, waits - again, begin) / self._second
        limits = np.concatenate([np.zeros(2 * count), ends, left, np.zeros(queuing)])
        limits /= self._stated[-1]
        return lower, upper, limits

    @cached_property
    def _sizes(self) -> Floats:
        """The smallest and the largest size of each line."""
        return np.array([(line.smallest, line.largest) for _, line in self._lines], float).T

    @cached_property
    def _stated(self) -> tuple[Floats, Any, Any, Floats]:
        """The costs of the variables, the matrix of the rows, the row of all units, and their norms.

        Each row is divided by its largest entry. Else what HiGHS rounds off is too much for a row of large
        ones, and it prints that it looks for a like solution that is not.

        There are rows for each line: its jobs can hold its units, and these are enough for them, unless
        nobody would want more jobs; for each member: it is done by the end; for each pot: what is taken
        of it; for each member whose jobs queue anew: its slots are filled often enough for them.
        """
        from scipy.sparse import coo_array, diags_array  # noqa: PLC0415

        count, scale, pots = len(self._lines), self._scale, list(self._pots)
        places = {bid.member: place for place, bid in enumerate(self._bids)}
        entries = [(2 * count + place, 0, -1.0) for place in places.values()]
        entries += [
            (2 * count + len(places) + number, 1 + 2 * count + number, -1.0)
            for number in range(len(pots))
        ]
        # Beside the largest job of all one of a unit is next to nothing, which HiGHS rounds off.
        entries += [
            entry
            for number, (_, line) in enumerate(self._lines)
            if line.smallest > 1 or line.fee < 0
            for entry in (
                (count + number, 1 + number, line.smallest / scale),
                (count + number, 1 + count + number, -1.0),
            )
        ]
        fills = 1 + 2 * count + len(pots)
        entries += self._list_fills(fills)
        costs = np.zeros(fills + len(self._queuing))
        costs[0] = self._usd_per_second * self._second
        costs[1 + 2 * count : fills] = [rate for _, rate in self._pots.values()]
        for number, (bid, line) in enumerate(self._lines):
            jobs, units = 1 + number, 1 + count + number
            end = 2 * count + places[bid.member]
            entries += [
                (number, jobs, -line.largest / scale),
                (number, units, 1.0),
                (end, jobs, bid.job_seconds / self._second),
                (end, units, bid.unit_seconds * scale / self._second),
            ]
            costs[units] = bid.other_usd * scale
            if bid.credit is None:
                costs[jobs] += line.fee
                costs[units] += line.each * scale
            else:
                pot = 2 * count + len(places) + pots.index(bid.credit.pot)
                entries += [(pot, jobs, line.fee), (pot, units, line.each * scale)]
        rows, columns, values = zip(*entries, strict=True)
        matrix = coo_array((values, (rows, columns)))
        norms = np.maximum(abs(matrix).max(axis=1).toarray().ravel(), _NEAR)
        total = np.zeros((1, len(costs)))
        total[0, 1 + count : 1 + 2 * count] = 1.0
        self._scale_costs(costs)
        return costs, (diags_array(1 / norms) @ matrix).tocsr(), total, norms

    def _list_fills(self, first: int) -> Iterator[tuple[int, int, float]]:
        """List the entries of how often slots are filled, whose variables begin at a column."""
        for place, bid in enumerate(self._bids):
            if not bid.again_seconds:
                continue
            column = first + self._queuing.index(bid.member)
            row = column - 1 + len(self._bids)
            yield 2 * len(self._lines) + place, column, bid.again_seconds / self._second
            yield row, column, -float(bid.slots)
            for number, (one, _) in enumerate(self._lines):
                if one is bid:
                    yield row, 1 + number, 1.0

    def _scale_costs(self, costs: Floats) -> None:
        """Bring costs to what HiGHS tells apart, and let the first of equal members be cheaper."""
        count, scale = len(self._lines), self._scale
        # What all would cost in the largest jobs of each line and a part of one. In whole ones a line that
        # begins below zero may come out as next to nothing, and no solver can take the scale.
        whole = costs[1 : 1 + count] * self._units / self._sizes[1]
        whole += costs[1 + count : 1 + 2 * count] * self._units / scale
        costs *= _COSTS / min(whole[whole > 0], default=1.0)
        # Of what costs the same, the first of the fleet does most, whichever the solver finds first.
        places = {bid.member: place for place, bid in enumerate(self._bids)}
        order = np.array([places[bid.member] for bid, _ in self._lines]) / len(places)
        costs[1 + count : 1 + 2 * count] += _TIE * order * scale / self._units

    def _jobs(self, variables: Floats) -> Jobs:
        """Read the sizes of jobs off the variables, in whole units."""
        count = len(self._lines)
        units = variables[1 + count : 1 + 2 * count] * self._scale
        whole = np.floor(units + _INTEGER * self._scale).astype(np.int64)
        nearest = np.argsort(whole - units, kind="stable")
        whole[nearest[: self._units - int(whole.sum())]] += 1
        jobs: dict[str, list[int]] = {}
        for number, (bid, line) in enumerate(self._lines):
            if whole[number]:
                # A job that costs nothing may be one too many.
                held = round(variables[1 + number]) if line.fee < 0 else 0
                sizes = bid.cut(int(whole[number]), most=line.largest, jobs=held)
                jobs.setdefault(bid.member, []).extend(sizes)
        return {member: sorted(sizes, reverse=True) for member, sizes in jobs.items()}

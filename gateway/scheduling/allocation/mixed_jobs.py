"""Jobs that hold circuits of several kinds, where that saves fees and floors.

Classes of work are planned one after the other, and each goes in jobs of its own. Where only prices
count and little waits, all ways of putting circuits of several kinds into jobs are looked at.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter

import numpy as np

from qiskit_gateway.policies.objectives import Trade
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.scheduling.allocation.bids import Floats
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.backlog import Barred
from qiskit_gateway.scheduling.members.offers import Quoting
from qiskit_gateway.scheduling.members.profile import Terms, informed
from qiskit_gateway.work.tasks import Compiled, Load, Piece, Task, mean_of

Counts = tuple[int, ...]
"""How many circuits of each kind."""

# So many numbers of circuits, kind by kind, are looked at; where there are more, only those of a
# grid, and where there are more circuits, none: each kind then has jobs of its own.
_MOST_COUNTS = 4096
_MOST_CIRCUITS = 1000
# What saves less than that, relatively, is a rounding error.
_SAVING = 1e-9


@dataclass(frozen=True, slots=True)
class Packing:
    """Jobs that do some circuits at the least price.

    Attributes:
        jobs: How many circuits of each kind each has.
        usd: What they cost.
        alone_usd: What they would if no job held two kinds.
    """

    jobs: tuple[Counts, ...]
    usd: float
    alone_usd: float


def packed(counts: Counts, price: Callable[[Counts], float]) -> Packing:
    """Return the jobs that do circuits of several kinds at the least price, of all there are.

    Args:
        counts: How many of each kind.
        price: What a job costs; infinite where no member takes it.
    """
    vectors = np.indices([count + 1 for count in counts]).reshape(len(counts), -1).T
    prices = np.array([math.inf, *(price(tuple(one)) for one in vectors[1:].tolist())])
    least, choices = np.zeros(len(vectors)), np.zeros(len(vectors), np.int64)
    for at in range(1, len(vectors)):
        # Of the vectors before this one, those that it contains: what is left is before it too.
        inside = np.flatnonzero((vectors[1 : at + 1] <= vectors[at]).all(axis=1)) + 1
        totals = least[at - inside] + prices[inside]
        best = int(totals.argmin())
        least[at], choices[at] = totals[best], inside[best]
    jobs, left = [], len(vectors) - 1
    while left:
        jobs.append(tuple(vectors[choices[left]].tolist()))
        left -= int(choices[left])
    return Packing(tuple(jobs), float(least[-1]), _alone(counts, least))


def _alone(counts: Counts, least: Floats) -> float:
    """Return the least price where no job holds two kinds."""
    strides = np.cumprod([1, *(count + 1 for count in reversed(counts[1:]))])[::-1]
    return float(sum(least[count * stride] for count, stride in zip(counts, strides, strict=True)))


def _cheapest_mix(counts: Counts, price: Callable[[Counts], float]) -> Sequence[Counts] | None:
    """Return jobs of several kinds that cost less than jobs of one; ``None`` if there are none."""
    steps = _steps(counts)

    def rows(job: Counts) -> Counts:
        each = zip(job, steps, counts, strict=True)
        return tuple(min(parts * step, count) for parts, step, count in each)

    parts = tuple(-(-count // step) for count, step in zip(counts, steps, strict=True))
    packing = packed(parts, lambda job: price(rows(job)))
    alone = packing.alone_usd
    if max(steps) > 1:
        alone = sum(_alone_usd(counts, kind, price) for kind in range(len(counts)))
    if not packing.usd < alone * (1 - _SAVING):
        return None
    return list(_trimmed(map(rows, packing.jobs), counts))


def _steps(counts: Counts) -> Counts:
    """Return in steps of how many circuits each kind is looked at."""
    if math.prod(count + 1 for count in counts) <= _MOST_COUNTS:
        return (1,) * len(counts)
    most = int(_MOST_COUNTS ** (1 / len(counts)) + _SAVING) - 1
    return tuple(-(-count // most) for count in counts)


def _alone_usd(counts: Counts, kind: int, price: Callable[[Counts], float]) -> float:
    """Return the least price of one kind in jobs of its own."""

    def alone(job: Counts) -> float:
        return price((*(0,) * kind, *job, *(0,) * (len(counts) - kind - 1)))

    return packed((counts[kind],), alone).usd


def _trimmed(jobs: Iterable[Counts], counts: Counts) -> Iterator[Counts]:
    """Yield jobs without what steps have in them beyond all that there is."""
    left = list(counts)
    for job in jobs:
        taken = tuple(min(rows, rest) for rows, rest in zip(job, left, strict=True))
        left = [rest - rows for rows, rest in zip(taken, left, strict=True)]
        if any(taken):
            yield taken


@dataclass(frozen=True, slots=True)
class _Kind:
    """Waiting circuits that are one like the other, of equal shots."""

    barred: Barred
    compiled: Mapping[str, Compiled]
    pieces: list[Piece]

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)

    def cut(self, rows: int) -> Iterator[Piece]:
        """Take the first pieces of so many rows."""
        while rows:
            piece = self.pieces.pop(0)
            if piece.rows > rows:
                piece, rest = piece.split_rows(rows)
                self.pieces.insert(0, rest)
            rows -= piece.rows
            yield piece


class Mixer:
    """Take work out of the backlog that should go in jobs of several kinds.

    Args:
        planner: Whose backlog.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._seen: set[tuple[frozenset[Barred], tuple[str, ...]]] = set()

    @property
    def _possible(self) -> bool:
        """Return whether jobs of several kinds are looked at: not where more than fees decides."""
        return self._planner.timeless and only_prices_count(self._planner.policy)

    def jobs(
        self, now: float, usable: tuple[str, ...], *, blank: bool = False
    ) -> Iterator[tuple[str, tuple[Piece, ...], Barred]]:
        """Take jobs of several kinds out of the backlog, if such jobs cost less.

        Args:
            now: Seconds of the loop's clock.
            usable: The members that may be sent work.
            blank: Whether all is left out that is known only from how runs go.

        Yields:
            For each job its member, what it holds, and who must not take that.
        """
        planner = self._planner
        if not planner.mixes or not self._possible:
            return
        classes = frozenset(planner.backlog.classes)
        if (classes, usable) in self._seen:
            return
        self._seen.add((classes, usable))
        by_others: dict[Barred, list[Barred]] = {}
        for barred in planner.backlog.classes:
            by_others.setdefault(replace(barred, kind=0), []).append(barred)
        for alike, same in by_others.items():
            members = planner.eligible(alike, usable)
            asking = _Asking(planner, members, now, blank)
            heights = {h for barred in same for h in planner.backlog.classes[barred].heights}
            for height in sorted(heights, reverse=True):
                if not any(_is_special(planner.terms[name], height) for name in members):
                    yield from self._mixed(same, height, asking)

    def _mixed(
        self, classes: Sequence[Barred], height: int, asking: "_Asking"
    ) -> Iterator[tuple[str, tuple[Piece, ...], Barred]]:
        kinds = self._kinds(classes, height)
        counts = tuple(kind.rows for kind in kinds)
        if len(counts) < 2 or not _are_few(counts):
            return
        offers = asking.offers(kinds, height)
        found = _cheapest_mix(counts, lambda job: offers(job)[0])
        if found is None:
            return
        for kind in kinds:
            self._planner.backlog.remove(kind.barred, height, kind.pieces)
        for job in found:
            shares = zip(kinds, job, strict=True)
            pieces = tuple(piece for kind, rows in shares for piece in kind.cut(rows))
            yield offers(job)[1], pieces, kinds[0].barred

    def _kinds(self, classes: Sequence[Barred], height: int) -> list[_Kind]:
        """Return what waits of a height, by what its circuits are."""
        found: dict[Hashable, _Kind] = {}
        for barred in classes:
            waiting = self._planner.backlog.classes.get(barred)
            for piece in () if waiting is None else waiting.heights.get(height, ()):
                compiled = self._planner.backlog.task(piece).compiled
                key = (barred, frozenset(compiled.items()))
                found.setdefault(key, _Kind(barred, compiled, [])).pieces.append(piece)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class _Asking:
    """What members ask for jobs.

    Attributes:
        planner: What is known of them.
        members: Who may take them.
        now: Seconds of the loop's clock.
        blank: Whether all is left out that is known only from how runs go.
    """

    planner: Planner
    members: Sequence[str]
    now: float
    blank: bool

    def offers(self, kinds: Sequence[_Kind], height: int) -> Callable[[Counts], tuple[float, str]]:
        """Return what says at what price, and where, a job goes; infinite where it can go nowhere."""
        waiting = Load(sum(kind.rows for kind in kinds), height * sum(kind.rows for kind in kinds))
        quote = self.planner.quoting(waiting, self.now, blank=self.blank)
        allowed = [self._allowed(kind, height) for kind in kinds]

        @cache
        def best(job: Counts) -> tuple[float, str]:
            open_to = [
                name
                for name in self.members
                if all(name in able for able, rows in zip(allowed, job, strict=True) if rows)
            ]
            asked = [(self._usd(quote, name, kinds, job, height), name) for name in open_to]
            return min(asked, key=itemgetter(0), default=(math.inf, ""))

        return best

    def _allowed(self, kind: _Kind, height: int) -> frozenset[str]:
        """Return the members that the policy allows for circuits of a kind."""
        load = Load(kind.rows, kind.rows * height)
        quote = self.planner.quoting(load, self.now, kind.barred, blank=self.blank, height=height)
        one, where = Load(1, height), self.planner.policy.where
        return frozenset(name for name in self.members if where(quote(name, one)))

    @staticmethod
    def _usd(quote: Quoting, name: str, kinds: Sequence[_Kind], job: Counts, height: int) -> float:
        terms, circuits = quote.terms[name], sum(job)
        if terms.max_circuits is not None and circuits > terms.max_circuits:
            return math.inf
        known = [
            (float(n), kind.compiled.get(name)) for kind, n in zip(kinds, job, strict=True) if n
        ]
        told = [(n, compiled) for n, compiled in known if compiled is not None]
        compiled = mean_of(told) if len(told) == len(known) else None
        load = Load(circuits, circuits * max(height, terms.min_shots))
        guess = informed(quote.guess, compiled)
        return terms.asked(1, load, terms.seconds(quote.standings[name], load, guess), compiled)


def only_prices_count(policy: Policy) -> bool:
    """Return whether a policy looks at nothing but what jobs cost, and may cut between rows."""
    trade = Trade.of(policy.minimize)
    plain = trade is not None and not trade.others and not trade.usd_per_hour
    return plain and policy.deadline_seconds is None and policy.spread == "rows"


def may_mix(tasks: Iterable[Task], terms: Sequence[Terms]) -> bool:
    """Return whether jobs of circuits of different prices can be looked at, for all of some work."""
    rows: dict[int, dict[Hashable, int]] = {}
    for task in tasks:
        by_circuit = rows.setdefault(task.shots, {})
        circuit = frozenset(task.compiled.items())
        by_circuit[circuit] = by_circuit.get(circuit, 0) + task.rows
    return all(
        _are_few(tuple(counts.values())) and not any(_is_special(one, height) for one in terms)
        for height, counts in rows.items()
    )


def _are_few(counts: Counts) -> bool:
    return sum(counts) <= _MOST_CIRCUITS and 2 ** len(counts) <= _MOST_COUNTS


def _is_special(terms: Terms, height: int) -> bool:
    """Return whether more decides on a member's jobs than what they cost by themselves."""
    cut_by_shots = terms.max_shots is not None and terms.max_shots < height
    return cut_by_shots or terms.allotment is not None or terms.max_payload_bytes is not None

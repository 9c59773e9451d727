"""The work that waits, and how a shard is cut from it.

Work waits in classes. A class holds the pieces of one kind that the same members may take; inside it, pieces
of equal height (shots) stand together, since a job has one number of shots. Cutting a shard costs
in proportion to the pieces that it takes, however many wait.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from qiskit_gateway.policies.spread import SplitRule
from qiskit_gateway.work.tasks import Load, Piece, Shard, Task


@dataclass(frozen=True, slots=True)
class Barred:
    """The members that some work must not go to, and its kind.

    Attributes:
        never: They cannot run it.
        tried: They failed at it, and may be asked again when no other is left.
        recalled_from: The member from which it was last taken back for others. That member may have
            it again once it has nothing else to do, or when no other is left.
        ever_recalled_from: All members from which it was ever taken back for others.
        kind: The kind of its tasks.
        failed: Members that have failed at it, healthy again or not; kept only where a rule counts them.
    """

    never: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()
    recalled_from: frozenset[str] = frozenset()
    ever_recalled_from: frozenset[str] = frozenset()
    kind: int = 0
    failed: frozenset[str] = frozenset()

    def __contains__(self, member: str) -> bool:
        """True if the work must not go to the member now."""
        return member in self.never or member in self.tried or member in self.recalled_from

    @property
    def for_now(self) -> frozenset[str]:
        """The members that may be asked again when no other is left."""
        return self.tried | self.recalled_from

    @property
    def untried(self) -> "Barred":
        """The same, once members that failed by accident are asked again: no other is left."""
        return replace(self, tried=frozenset(), recalled_from=frozenset())

    def forgiving(self, member: str) -> "Barred":
        """The same, once a member is healthy again that failed at it, or that it was taken back from."""
        return replace(
            self, tried=self.tried - {member}, recalled_from=self.recalled_from - {member}
        )

    def once_recalled_from(self, member: str) -> "Barred":
        """The same, once it was taken back from a member for others."""
        return replace(
            self,
            recalled_from=frozenset({member}),
            ever_recalled_from=self.ever_recalled_from | {member},
        )

    def plus(self, other: "Barred") -> "Barred":
        """Add the exclusions of the same work that are known from elsewhere."""
        return replace(
            self,
            never=self.never | other.never,
            tried=self.tried | other.tried,
            recalled_from=self.recalled_from | other.recalled_from,
            ever_recalled_from=self.ever_recalled_from | other.ever_recalled_from,
            failed=self.failed | other.failed,
        )


NOBODY = Barred()


@dataclass(frozen=True, slots=True)
class Group:
    """Pieces that go out together as one shard.

    Attributes:
        pieces: The pieces.
        barred: Members that must not take them.
        isolating: Whether they are part of a shard that failed, sent to find the bad circuit.
    """

    pieces: tuple[Piece, ...]
    barred: Barred
    isolating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The largest size of a shard: a member's limits, and its planned share.

    Attributes:
        circuits: Most circuits.
        max_shots: Most shots of a job, or ``None``.
        min_shots: Fewest shots of a job.
        executions: Most circuits times shots of a job, or ``None``.
        payload_bytes: Most bytes of a job, or ``None``.
        most_shots: Most shots to take of a row, where rows may be cut over members; or ``None``.
    """

    circuits: int
    max_shots: int | None = None
    min_shots: int = 1
    executions: int | None = None
    payload_bytes: int | None = None
    most_shots: int | None = None

    def shots_of(self, height: int) -> int:
        """Return the shots of one job for rows that need ``height`` of them.

        Rows above the member's maximum go in the fewest equal jobs.
        """
        shots = height
        if self.most_shots is not None:
            shots = min(height, max(self.min_shots, self.most_shots))
        if self.max_shots is None or shots <= self.max_shots:
            return shots
        jobs = -(-shots // self.max_shots)
        return -(-shots // jobs)


@dataclass(slots=True)
class Waiting:
    """The pieces of one class, and how many rows they have, by height.

    Attributes:
        circuits_of: Counts the circuits of a piece, as they may be divided; ``None`` where a row is one.
        heights: The pieces, by height.
        rows: How many rows these have.
        circuits: How many circuits they are in all; of rows that may be divided, whole ones.
        circuit_shots: Their shots summed over circuits.
    """

    circuits_of: Callable[[Piece], float] | None
    heights: dict[int, deque[Piece]] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    circuits: float = 0
    circuit_shots: float = 0

    def put(self, piece: Piece, *, first: bool = False) -> None:
        """Add a piece, at the end or at the front."""
        height, rows = piece.shot_stop - piece.shot_start, piece.row_stop - piece.row_start
        queue = self.heights.get(height)
        if queue is None:
            queue = self.heights[height] = deque()
            self.rows[height] = 0
        queue.appendleft(piece) if first else queue.append(piece)
        self.rows[height] += rows
        self.circuits += rows if self.circuits_of is None else self.circuits_of(piece)
        self.circuit_shots += rows * height

    def pop(self, height: int) -> Piece:
        """Take the first piece of a height."""
        queue = self.heights[height]
        piece = queue.popleft()
        rows = piece.row_stop - piece.row_start
        self.rows[height] -= rows
        if not queue:
            del self.heights[height], self.rows[height]
        self.circuits -= rows if self.circuits_of is None else self.circuits_of(piece)
        self.circuit_shots -= rows * height
        return piece

    def tallest(self) -> int:
        """Return the largest height: long work goes first, so that the end is cut fine."""
        return max(self.heights)

    def __iter__(self) -> Iterator[Piece]:
        """Go through the pieces without taking them."""
        for queue in self.heights.values():
            yield from queue


class Backlog:
    """All work of a run that waits: the common classes, and what is kept for one member.

    Args:
        tasks: The run's tasks.
        rule: What of it stays together on one member.

    Attributes:
        divides_rows: Whether the shots of one row may run on several members.
        classes: What waits for any of the members that it is not barred from.
        redirected: Whether cutting has met work that its member cannot run, and put it where
            others may take it. The dealer looks again then, and clears it.
    """

    def __init__(self, tasks: tuple[Task, ...], rule: SplitRule) -> None:
        self.classes: dict[Barred, Waiting] = {}
        self.redirected = False
        self._tasks = tasks
        self.divides_rows = rule.divides_rows
        self._divided = self._circuits_of if rule.divides_rows else None
        self._homes_of = [rule.home_of(task=task.index, pub=task.group) for task in tasks]
        self._has_homes = any(home is not None for home in self._homes_of)
        self._kept: dict[str, dict[Barred, Waiting]] = {}
        self._homes: dict[int, str] = {}
        self._refused: dict[int, frozenset[str]] = {}

    def put(self, piece: Piece, barred: Barred = NOBODY, *, first: bool = False) -> None:
        """Add a piece that the members in ``barred`` must not take."""
        barred = self._with_refusals(piece.task, barred)
        waiting = self.classes.get(barred)
        if waiting is None:
            waiting = self.classes[barred] = Waiting(self._divided)
        waiting.put(piece, first=first)

    def keep(self, member: str, piece: Piece, barred: Barred) -> None:
        """Keep a piece for the member that has the rest of its rows, if they stay together."""
        if self.divides_rows:
            self.put(piece, barred)
        else:
            self._keep(member, piece, barred)

    def _keep(self, member: str, piece: Piece, barred: Barred) -> None:
        classes = self._kept.setdefault(member, {})
        if barred not in classes:
            classes[barred] = Waiting(self._divided)
        classes[barred].put(piece)

    def refuse(self, task: int, member: str) -> None:
        """Note that a member cannot run a task; waiting pieces learn it when they are met."""
        self._refused[task] = self._refused.get(task, frozenset()) | {member}

    def forgive(self, member: str) -> None:
        """Let a member that is healthy again take what it failed at before."""
        for barred in [key for key in self.classes if member in key.for_now]:
            self._change(barred, barred.forgiving(member))

    def welcome(self, member: str) -> None:
        """Let a member that has nothing else to do take again what was taken from it for others."""
        for barred in [key for key in self.classes if member in key.recalled_from]:
            self._change(barred, replace(barred, recalled_from=barred.recalled_from - {member}))

    def _change(self, barred: Barred, other: Barred) -> None:
        for piece in self.classes.pop(barred):
            self.put(piece, other)

    @property
    def empty(self) -> bool:
        """True if nothing waits."""
        return not self.classes and not self._kept

    @property
    def load(self) -> Load:
        """The work that waits for any member."""
        waiting = self.classes.values()
        return Load(sum(one.circuits for one in waiting), sum(one.circuit_shots for one in waiting))

    def load_of(self, shard: Shard) -> Load:
        """Measure the pieces of a shard, as they may be divided.

        Rows that may be cut by their shots are as many circuits as their shots are whole ones: what
        was cut of a row in ten parts is one circuit still, and needs no ten.
        """
        circuits: float = shard.circuits
        if self.divides_rows:
            circuits = sum([self._circuits_of(piece) for piece in shard.pieces])
        return Load(circuits, shard.circuit_shots)

    def _circuits_of(self, piece: Piece) -> float:
        return piece.circuit_shots / self._tasks[piece.task].shots

    def is_separable(self, pieces: Iterable[Piece]) -> bool:
        """Check that pieces may run apart from the rest of their rows and PUBs."""
        tasks = self._tasks
        if self._has_homes and any(self._homes_of[one.task] is not None for one in pieces):
            return False
        return self.divides_rows or all(
            one.shot_stop - one.shot_start >= tasks[one.task].shots for one in pieces
        )

    @property
    def keeping(self) -> Collection[str]:
        """Names of members for which work is kept."""
        return self._kept.keys()

    def pieces(self) -> Iterator[tuple[Piece, Barred]]:
        """Go through all that waits."""
        for classes in (self.classes, *self._kept.values()):
            for barred, waiting in classes.items():
                for piece in waiting:
                    yield piece, self._with_refusals(piece.task, barred)

    def clear(self) -> None:
        """Forget all that waits."""
        self.classes.clear()
        self._kept.clear()

    def unkeep(self, member: str) -> None:
        """Give back what was kept for a member, for others to take."""
        for barred, waiting in self._kept.pop(member, {}).items():
            for piece in waiting:
                self.put(piece, barred)
        self._homes = {group: home for group, home in self._homes.items() if home != member}

    def cut_kept(self, member: str, room: Room) -> tuple[tuple[Piece, ...], Barred] | None:
        """Cut a shard from what is kept for a member, or return ``None``."""
        classes = self._kept.get(member)
        while classes:
            barred = next(iter(classes))
            pieces = self._cut_from(classes, member, barred, room)
            if not classes:
                self._kept.pop(member, None)
            if pieces:
                return pieces, barred
        return None

    def cut(
        self, member: str, barred: Barred, room: Room, height: int | None = None
    ) -> tuple[Piece, ...]:
        """Cut a shard for a member from one class; empty where nothing of it is for the member.

        Args:
            member: Its name.
            barred: The class.
            room: How large.
            height: Only from rows of this many shots; ``None`` for the tallest.
        """
        return self._cut_from(self.classes, member, barred, room, height)

    def _cut_from(
        self,
        classes: dict[Barred, Waiting],
        member: str,
        barred: Barred,
        room: Room,
        height: int | None = None,
    ) -> tuple[Piece, ...]:
        taken: tuple[Piece, ...] = ()
        while not taken and (waiting := classes.get(barred)) is not None:
            if height is not None and height not in waiting.heights:
                break
            cut = _Cut(room, member, barred, waiting)
            taken = self._fill(cut, height or waiting.tallest())
            if not waiting.heights:
                classes.pop(barred, None)
        return taken

    def _fill(self, cut: "_Cut", height: int) -> tuple[Piece, ...]:
        shots, waiting = cut.room.shots_of(height), cut.waiting
        for_anybody = not (self._has_homes or self._refused)
        while height in waiting.heights:
            bytes_each = self._tasks[waiting.heights[height][0].task].payload_bytes
            rows = cut.rows_left(bytes_each, shots)
            if rows < 1:
                break
            piece = waiting.pop(height)
            if not for_anybody and self._goes_elsewhere(piece, cut):
                continue
            if piece.row_stop - piece.row_start > rows:
                piece, rest = piece.split_rows(rows)
                self._put_back(rest, cut, keep=self._homes_of[rest.task] is not None)
            if shots < height:
                piece, rest = piece.split_shots(shots)
                self._put_back(rest, cut, keep=not self.divides_rows)
            cut.take(piece, bytes_each)
        return tuple(cut.taken)

    def _goes_elsewhere(self, piece: Piece, cut: "_Cut") -> bool:
        """Put a piece where it belongs, if that is not with this member."""
        group = self._homes_of[piece.task]
        if group is None and not self._refused:
            return False
        known = self._with_refusals(piece.task, cut.barred)
        if cut.member in known:
            self.put(piece, known)
            self.redirected = True
            return True
        if group is None:
            return False
        home = self._homes.get(group, cut.member)
        if home == cut.member or home in known:
            self._homes[group] = cut.member
            return False
        self._keep(home, piece, cut.barred)
        return True

    def _put_back(self, rest: Piece, cut: "_Cut", *, keep: bool) -> None:
        if keep:
            self._keep(cut.member, rest, cut.barred)
        else:
            cut.waiting.put(rest, first=True)

    def _with_refusals(self, task: int, barred: Barred) -> Barred:
        kind = self._tasks[task].kind
        if kind != barred.kind:
            barred = replace(barred, kind=kind)
        refused = self._refused.get(task)
        if not refused or refused <= barred.never:
            return barred
        return replace(barred, never=barred.never | refused)


@dataclass(slots=True)
class _Cut:
    """A shard in the making."""

    room: Room
    member: str
    barred: Barred
    waiting: Waiting
    taken: list[Piece] = field(default_factory=list)
    circuits: int = 0
    payload_bytes: int = 0

    def rows_left(self, bytes_each: int, shots: int) -> int:
        rows = self.room.circuits - self.circuits
        if self.room.executions is not None:
            rows = min(
                rows, self.room.executions // max(shots, self.room.min_shots) - self.circuits
            )
        if self.room.payload_bytes is not None and bytes_each:
            rows = min(rows, (self.room.payload_bytes - self.payload_bytes) // bytes_each)
        return rows if self.taken else max(1, rows)

    def take(self, piece: Piece, bytes_each: int) -> None:
        rows = piece.row_stop - piece.row_start
        self.taken.append(piece)
        self.circuits += rows
        self.payload_bytes += rows * bytes_each

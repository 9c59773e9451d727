"""Whose turn it is at a member for which several runs have work.

Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996), in two levels as they nest it: users share
a member by weight, and the runs of a user share what that gets. A job has a start tag, which is the
finish tag of the job before it of the same user, but never less than the virtual time: the start tag
of the job that was sent last. Its finish tag is later by the job's seconds over the user's weight.
The run with the least start tag goes first. With several slots it is their SFQ(D) (Jin, Chase, Kaur:
SIGMETRICS 2004): two that both always have work differ by no more than a few jobs of each.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from qiskit_gateway.policies.share import Share

# Of jobs that are not known to take any time, one counts as much as another.
_LEAST_SECONDS = 1e-3
# More users and runs than have work at once.
_MOST_TAGS = 10_000


@dataclass(frozen=True, eq=False, slots=True)
class Flow:
    """The jobs of one run, as they share members with those of others. Equal only to itself.

    Attributes:
        share: What the policy of the run says of that.
    """

    share: Share = field(default_factory=Share)


@dataclass(frozen=True, eq=False, slots=True)
class Listener:
    """A run that waits for slots.

    Attributes:
        flow: Whose.
        offer: Tells it of a member that may have a slot free; answers whether it took one.
    """

    flow: Flow
    offer: Callable[[str], bool]


@dataclass(slots=True)
class _Clock:
    """The virtual time at one member, of all users or of one user's runs, and their finish tags."""

    now: float = 0.0
    finish: dict[object, float] = field(default_factory=dict)

    def start_tag(self, of: object) -> float:
        return max(self.now, self.finish.get(of, 0.0))

    def dispatch(self, of: object, seconds: float) -> None:
        self.now = self.start_tag(of)
        self.finish[of] = self.now + seconds
        if len(self.finish) > _MOST_TAGS:
            # Nothing is lost with the runs that are behind the virtual time.
            self.finish = {key: tag for key, tag in self.finish.items() if tag > self.now}


@dataclass(slots=True)
class FairQueue:
    """The runs of a fleet that wait, and what each has had of every member.

    Attributes:
        listeners: Those that wait, the longest first; see :meth:`wait` and :meth:`leave`.
    """

    listeners: list[Listener] = field(default_factory=list)
    _waiting: Counter[str] = field(default_factory=Counter)
    _users: dict[str, _Clock] = field(default_factory=dict)
    _runs: dict[tuple[str, str], _Clock] = field(default_factory=dict)
    # Runs asked in vain, by member, in this round: no run steps back for those.
    _asked: dict[str, set[Flow]] = field(default_factory=dict)
    _agenda: deque[tuple[str, bool, bool]] = field(default_factory=deque)
    _offering: bool = False

    def wait(self, listener: Listener) -> None:
        """Put a run at the end of those that wait. When it is asked it is no longer among them."""
        self.listeners.append(listener)
        self._waiting[listener.flow.share.user] += 1

    def leave(self, flow: Flow) -> None:
        """Take a run out that waits no more."""
        self._take_out(next(at for at, one in enumerate(self.listeners) if one.flow is flow))

    def _take_out(self, place: int) -> Listener:
        listener = self.listeners.pop(place)
        user = listener.flow.share.user
        self._waiting[user] -= 1
        if not self._waiting[user]:
            del self._waiting[user]
        return listener

    def dispatch(self, flow: Flow, member: str, seconds: float) -> None:
        """Note that a run sends a member a job, and how many seconds it is expected to take."""
        share, seconds = flow.share, max(seconds, _LEAST_SECONDS)
        self._clock_of_users(member).dispatch(share.user, seconds / share.weight)
        self._clock_of_runs(member, share.user).dispatch(flow, seconds / 2**share.priority)

    def forget(self, flow: Flow) -> None:
        """Note that a run is over. What its user has had still counts."""
        user = flow.share.user
        for member in self._users:
            clock = self._runs.get((member, user))
            if clock is not None:
                clock.finish.pop(flow, None)
                if not clock.finish:
                    del self._runs[member, user]

    def steps_back(self, flow: Flow, member: str) -> bool:
        """Tell whether others that wait go before a run at a member.

        A run that steps back must have the member offered to all, see :meth:`offer`: those others may have no
        use for it.
        """
        if not self.listeners:
            return False
        users, runs = self._clock_of_users(member), self._clock_of_runs(member, flow.share.user)
        mine, own = users.start_tag(flow.share.user), runs.start_tag(flow)
        if mine <= users.now and own <= runs.now:
            return False  # No tag is less than that, so that a crowd of new runs need not be looked at.
        asked = self._asked.get(member, ())
        for one in self.listeners:
            other = one.flow
            if other is flow or other in asked:
                continue
            if other.share.user == flow.share.user:
                if runs.start_tag(other) < own:
                    return True
            elif users.start_tag(other.share.user) < mine:
                return True
        return False

    def offer(
        self,
        member: str,
        *,
        taken: bool = False,
        to_all: bool = False,
        besides: Collection[Flow] = (),
    ) -> None:
        """Offer a member to those that wait, in their turns, until its slots are taken.

        Not to all of them, or each end of a job would cost in proportion to their number: once somebody
        has taken one, no more than one asks in vain.

        Args:
            member: Which.
            taken: Whether somebody has taken a slot already.
            to_all: Whether even so all are asked.
            besides: Those that have asked already.
        """
        self._agenda.append((member, taken, to_all))
        if self._offering:
            return  # A run that was asked has stepped back elsewhere: that comes next.
        self._offering = True
        self._asked[member] = set(besides)
        try:
            while self._agenda:
                self._go_round(*self._agenda.popleft())
        finally:
            self._offering = False
            self._asked.clear()
            self._agenda.clear()

    def _go_round(self, member: str, taken: bool, to_all: bool) -> None:  # noqa: FBT001  As queued.
        asked = self._asked.setdefault(member, set())
        while (place := self._next(member, asked)) is not None:
            one = self._take_out(place)
            asked.add(one.flow)
            if one.offer(member):
                taken = True
                asked.discard(one.flow)
                continue
            if self.listeners and self.listeners[-1].flow is one.flow:
                # It asked in vain, and keeps its place.
                self.listeners.insert(place, self.listeners.pop())
            if taken and not to_all:
                return

    def _next(self, member: str, asked: set[Flow]) -> int | None:
        """Find the place in the list of the first run that was not asked yet."""
        users = self._clock_of_users(member)
        least = min(map(users.start_tag, self._waiting), default=0.0)
        best: tuple[float, float] | None = None
        place = None
        for number, one in enumerate(self.listeners):
            if one.flow in asked:
                continue
            runs = self._clock_of_runs(member, one.flow.share.user)
            tags = users.start_tag(one.flow.share.user), runs.start_tag(one.flow)
            if tags <= (least, runs.now):
                # No tags are less, so that a crowd of new runs need not be looked at.
                return number
            if best is None or tags < best:
                best, place = tags, number
        return place

    def _clock_of_users(self, member: str) -> _Clock:
        clock = self._users.get(member)
        if clock is None:
            clock = self._users[member] = _Clock()
        return clock

    def _clock_of_runs(self, member: str, user: str) -> _Clock:
        clock = self._runs.get((member, user))
        if clock is None:
            clock = self._runs[member, user] = _Clock()
        return clock

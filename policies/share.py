"""How runs that wait for the same member share it."""

from dataclasses import dataclass

from qiskit_gateway.arguments import check_count, check_positive, make_plain

_MOST_PRIORITY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a run gets of a member for which other runs wait too.

    Users share the time of a member by their weights, however many runs each has; runs of one user
    share what that user gets by their priorities. Nobody is left without: a member that has a slot
    free gives it to the user with the least use of it, by weight, that can use it.

    Attributes:
        user: On whose behalf; runs that name nobody have one user together.
        weight: How much this user gets in comparison with others, above 0.
        priority: How much a run gets in comparison with others of its user: twice as much for each step,
            an integer from 0 to 20.
    """

    user: str = ""
    weight: float = 1.0
    priority: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.user, str):
            raise TypeError(f"user must be a name such as 'ana', got {self.user!r}")
        check_positive("weight", self.weight)
        check_count("priority", self.priority)
        if self.priority > _MOST_PRIORITY:
            raise ValueError(f"priority must be at most {_MOST_PRIORITY}, got {self.priority!r}")
        make_plain(self)

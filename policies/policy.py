"""The policy of a router: where work may go, what is best, and the rules when it fails."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

from qiskit_gateway.arguments import check_choice, check_positive, make_plain
from qiskit_gateway.display.cards import Fold, render_card
from qiskit_gateway.policies.answers import PolicyError, verdict_of
from qiskit_gateway.policies.breaker import BreakerPolicy
from qiskit_gateway.policies.budget import Budget
from qiskit_gateway.policies.filters import Anything, Filter
from qiskit_gateway.policies.objectives import Finish, Objective, Then, WorkShare
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.policies.recall import RecallPolicy
from qiskit_gateway.policies.removed import refuse_removed
from qiskit_gateway.policies.retry import RetryPolicy
from qiskit_gateway.policies.share import Share
from qiskit_gateway.policies.spread import SPLIT_RULES, SplitRule, Spread
from qiskit_gateway.policies.verdict import Verdict, refuse
from qiskit_gateway.policies.words import write_filter, write_objective

OnFailure = Literal["raise", "partial"]


_MAY_BE_NONE = (
    "deadline_seconds",
    "start_seconds",
    "run_seconds",
    "collect_seconds",
    "patience_seconds",
)
# Fields of an offer that readings of queues are in.
_OF_QUEUES = frozenset({"wait_seconds", "pending_jobs", "data_age_seconds"})


def _finish_then_share() -> Objective:
    return Then(Finish(), WorkShare())


@refuse_removed(
    first_reading_seconds="a run whose policy looks at queues waits up to five seconds for readings of "
    "them; set queue_seconds to say how old a reading may become",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules by which a router decides. Every part has a default; presets are policies by name.

    Attributes:
        where: Which offers may be taken.
        minimize: Which of these is best.
        spread: What may be cut over several members: ``"shots"`` anything, ``"rows"`` keeps the
            shots of one row on one member, ``"pubs"`` keeps a PUB whole.
        retry: What to do with a shard whose attempt failed.
        breaker: When to leave a member alone.
        recall: When to take work back from a member that has not begun it.
        share: What a run gets where others wait for the same member.
        budget: What may be spent; ``None`` for no limit.
        deadline_seconds: How long a run may take, in seconds; ``None`` for no limit.
        submit_seconds: How long a provider may take to accept a job, in seconds. Where it can be
            asked for a job whose acceptance it did not tell, the last quarter is for asking.
        start_seconds: How long a job may wait in its provider's queue before it is asked back for
            another member, in seconds; ``None`` leaves that to ``recall``.
        run_seconds: How long a provider may take over a job that it said it has begun, in seconds;
            ``None`` for no limit of its own.
        collect_seconds: How long a provider may take from accepting a job to the result, queue
            included, in seconds, a day by default; ``None`` for no limit.
        cancel_seconds: How long a provider may take to cancel a job, in seconds.
        queue_seconds: How old a reading of a member's queue may become, in seconds. A refresh every
            five minutes keeps almost all of its worth. A run whose policy looks at queues waits up to
            five seconds for readings in place of older ones before it plans.
        probe_seconds: How long between two looks where work waits for something other than time,
            such as a shorter queue, in seconds.
        patience_seconds: How long a run without a deadline waits while no member is usable, in
            seconds; ``None`` waits for ever.
        on_failure: What a run that lost work answers: ``"raise"`` an error that carries the
            finished part, ``"partial"`` the finished part.
    """

    where: Filter = field(default_factory=Anything)
    minimize: Objective = field(default_factory=_finish_then_share)
    spread: Spread = "rows"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    recall: RecallPolicy = field(default_factory=RecallPolicy)
    share: Share = field(default_factory=Share)
    budget: Budget | None = None
    deadline_seconds: float | None = None
    submit_seconds: float = 120.0
    start_seconds: float | None = None
    run_seconds: float | None = None
    collect_seconds: float | None = 86_400.0
    cancel_seconds: float = 10.0
    queue_seconds: float = 300.0
    probe_seconds: float = 30.0
    patience_seconds: float | None = 300.0
    on_failure: OnFailure = "raise"

    def __post_init__(self) -> None:
        _check_kind("where", self.where, Filter, "MaxPrice(5)")
        _check_kind("minimize", self.minimize, Objective, "Price()")
        _check_kind("retry", self.retry, RetryPolicy, "RetryPolicy()")
        _check_kind("breaker", self.breaker, BreakerPolicy, "BreakerPolicy()")
        _check_kind("recall", self.recall, RecallPolicy, "RecallPolicy()")
        _check_kind("share", self.share, Share, "Share(user='ana', weight=2)")
        if self.budget is not None:
            _check_kind("budget", self.budget, Budget, "Budget(usd=20)")
        check_choice("spread", self.spread, get_args(Spread))
        check_choice("on_failure", self.on_failure, get_args(OnFailure))
        for name in ("submit_seconds", "cancel_seconds", "probe_seconds", "queue_seconds"):
            check_positive(name, getattr(self, name))
        for name in _MAY_BE_NONE:
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        make_plain(self)

    @classmethod
    def coerce(cls, policy: "Policy | None") -> "Policy":
        """Return the policy, or the default one for ``None``.

        Raises:
            TypeError: If it is something else.
        """
        if policy is not None and not isinstance(policy, Policy):
            raise TypeError(f"policy must be a Policy such as fastest(), got {policy!r}")
        return policy or cls()

    def __str__(self) -> str:
        """Describe the objective and the filter on one line."""
        said = f"least {write_objective(self.minimize)}"
        if not isinstance(self.where, Anything):
            said += f"; only where {write_filter(self.where)}"
        if self.deadline_seconds is not None:
            said += f"; within {self.deadline_seconds:g} s"
        return said

    def _repr_html_(self) -> str:
        anywhere = isinstance(self.where, Anything)
        facts = [
            ("makes least", write_objective(self.minimize)),
            ("only where", "" if anywhere else write_filter(self.where)),
            ("within", "" if self.deadline_seconds is None else f"{self.deadline_seconds:g} s"),
            ("budget", "" if self.budget is None else str(self.budget)),
            ("cuts", self.spread),
            ("on failure", self.on_failure),
        ]
        return render_card(
            "Policy", facts, [Fold("all settings", render_card("", _settings(self)))]
        )

    @property
    def split_rule(self) -> SplitRule:
        """The rule that ``spread`` names."""
        return SPLIT_RULES[self.spread]()

    @property
    def looks_at_queues(self) -> bool:
        """True if a reading of a queue may change a decision."""
        return self.deadline_seconds is not None or not self.uses.isdisjoint(_OF_QUEUES)

    @property
    def uses(self) -> frozenset[str]:
        """The names of the fields of an offer that the policy reads."""
        return self.where.uses | self.minimize.uses

    @property
    def names(self) -> frozenset[str]:
        """Names of members that the policy has rules for: its filter, its objective and its budget."""
        limited = frozenset() if self.budget is None else self.budget.names
        return self.where.names | self.minimize.names | limited

    def check_names(self, members: Collection[str]) -> None:
        """Check that the members that the policy has rules for are there, and that limited users have a name.

        Args:
            members: The names of those that are.

        Raises:
            ValueError: If one is not: misspelt or left out, a rule for it would be ignored without
                a word.
        """
        if self.budget is not None and self.budget.names_users and not self.share.user:
            raise ValueError(
                "the budget limits what is spent for each user, and the policy names none: say on "
                "whose behalf runs are, share=Share(user='chem/ana')"
            )
        unknown = sorted(self.names.difference(members))
        if not unknown:
            return
        near = [one for name in unknown for one in get_close_matches(name, members, n=1)]
        raise ValueError(
            f"the policy names {', '.join(map(repr, unknown))}, and no member of the fleet is called "
            f"that; there are {', '.join(members)}"
            + (f". Did you mean {' and '.join(map(repr, dict.fromkeys(near)))}?" if near else "")
        )

    def judge(self, offer: Offer) -> Verdict:
        """Decide whether an offer may be taken, and can be compared with others."""
        verdict = verdict_of(self.where, offer)
        if verdict:
            try:
                self.minimize.key(offer)
            except PolicyError as error:
                return refuse(str(error))
        return verdict


def _settings(rules: Any, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for one in fields(rules):
        value, name = getattr(rules, one.name), f"{prefix}{one.name}"
        if is_dataclass(value) and one.name in {"retry", "breaker", "recall", "budget"}:
            found += _settings(value, f"{name}.")
        elif one.name not in {"where", "minimize"}:
            found.append((name, str(value)))
    return found


def _check_kind(name: str, value: object, kind: type, example: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be of type {kind.__name__}, such as {example}, got {value!r}"
            + (": call it to make one." if isinstance(value, type) else ".")
        )

"""Split rules: what of a run may be cut over several members, by the texts that ``spread`` takes.

A new rule is a class here, with its text in :data:`Spread`.
"""

from typing import ClassVar, Literal

from qiskit_gateway.policies.registry import Registry

Spread = Literal["rows", "shots", "pubs"]


class SplitRule:
    """The part of a run that stays together on one member.

    Work leaves the member that has the rest of it only where that cannot run it, or is not usable.

    Subclassing: Answer by ``home_of`` what stays together, or let even rows be divided.

    Attributes:
        divides_rows: The shots of one row may run on several members. Work with a home is never
            divided so.
    """

    divides_rows: ClassVar[bool] = False

    def home_of(self, *, task: int, pub: int) -> int | None:
        """Number what a task belongs to, all of which runs on one member; by default nothing.

        Args:
            task: Index of the task: a circuit, or one measurement basis of a PUB.
            pub: Index of the PUB that it is of.
        """


SPLIT_RULES: Registry[type[SplitRule]] = Registry("split rule")


@SPLIT_RULES.register("rows")
class WholeRows(SplitRule):
    """The shots of one parameter row stay together."""


@SPLIT_RULES.register("shots")
class DividedRows(SplitRule):
    """Anything may be cut."""

    divides_rows: ClassVar[bool] = True


@SPLIT_RULES.register("pubs")
class WholePubs(SplitRule):
    """All of a PUB stays together."""

    def home_of(self, *, task: int, pub: int) -> int:  # noqa: D102  As of the base class.
        return pub

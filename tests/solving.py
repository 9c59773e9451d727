"""Problems that a plan poses, solved at once."""

from qiskit_gateway.scheduling.allocation.divide import Question, Shares, divide
from qiskit_gateway.scheduling.allocation.integer_program import (
    Division,
    Problem,
    share_out,
)
from qiskit_gateway.scheduling.events import Solve, Solved


def solve_all(scheduler, commands, now=0.0):
    """Return commands, and for each that asks for an answer what is to be done by that."""
    found = []
    for one in commands:
        if isinstance(one, Solve):
            answered = scheduler.handle(Solved(answer=one.problem()), now)
            found += solve_all(scheduler, answered, now)
        else:
            found.append(one)
    return found


def shares_of(*args, **options) -> Shares:
    """Divide work as the planner does."""
    found = divide(*args, **options)
    return found.read(found.problem()) if isinstance(found, Question) else found


def best_division(bids, units, worth) -> Division:
    """Return the best jobs; equally cheap members share them by when they are done."""
    problem = Problem(tuple(bids), units, worth)
    found = problem.easy or problem()
    if worth.usd_per_second:
        return found
    shared = Division.of(problem.bids, share_out(problem.bids, found.jobs))
    return shared if shared.seconds <= worth.horizon else found

"""The one sentence that says why a target was chosen, or why none was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.fdl.model import Service
from bridge.scheduler import _words as words
from bridge.scheduler._kinds import first_choice
from bridge.scheduler._policies import Policy, wishes
from bridge.scheduler.model import Candidate, Hedge, Offer

# A difference in time that a person would call one: seconds, and share of the better time.
_NOTICED_SECONDS = 0.5
_NOTICED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is to explain. `feasible` has the chosen candidate first, then best first."""

    service: Service
    policy: Policy
    feasible: Sequence[Candidate]
    refused: Sequence[Offer]
    lots: int
    is_fallback: bool
    late: bool
    hedge: Hedge | None = None


def explain(outcome: Outcome) -> str:
    """The sentence for a person; it holds names and numbers, never a setting or a secret."""
    if not outcome.feasible:
        return _nothing(outcome)
    chosen = outcome.feasible[0].offer
    parts = [f"{chosen.target}: {_why(outcome)}, {_price(chosen)}"]
    parts += [
        f"{other.target} {_worse(other, chosen, outcome.policy)}" for other in _others(outcome)
    ]
    if outcome.lots > 1:
        parts.append(f"taken by lot among {outcome.lots} that are as good")
    if outcome.late:
        limit = words.duration(outcome.service.placement.deadline or 0.0)
        parts.append(f"no target is expected to meet the deadline of {limit}")
    if outcome.hedge:
        after = words.duration(outcome.hedge.after)
        parts.append(f"{outcome.hedge.target} is next if it has not started after {after}")
    return "; ".join([*parts, *_unknown(outcome), *chosen.notes])


def _unknown(outcome: Outcome) -> list[str]:
    """The terms that counted as the worst because nobody knows the figure."""
    feasible, said = outcome.feasible, []
    for place, term in enumerate(feasible[0].terms if len(feasible) > 1 else ()):
        targets = [one.offer.target for one in feasible if one.terms[place].raw is None]
        if targets:
            names = words.listed(sorted(targets))
            said.append(f"{term.name} of {names} is not known and counts as the worst")
    return said


def _nothing(outcome: Outcome) -> str:
    known = {offer.target for offer in outcome.refused}
    parts = [
        f"{name}: there is no such target now"
        for name in first_choice(outcome.service)
        if name not in known
    ]
    parts += [f"{o.target}: {'. '.join(r.sentence for r in o.reasons)}" for o in outcome.refused]
    now = " now" if any(all(r.passing for r in o.reasons) for o in outcome.refused) else ""
    return f"no target can run it{now}. {'. '.join(parts) or 'There are no targets'}"


def _why(outcome: Outcome) -> str:
    """What speaks for the chosen one."""
    able, policy = len(outcome.feasible), outcome.policy
    if outcome.is_fallback:
        return f"a fallback, because {_obstacle(outcome, first_choice(outcome.service))}"
    if policy.name == "pinned":
        wish = wishes(outcome.service, policy)["target"]
        if outcome.feasible[0].offer.target == wish:
            return "the file pins it there"
        return f"second choice, because {_obstacle(outcome, (wish,))}"
    if able == 1:
        return f"the only one of {len(outcome.refused) + 1} that can run it"
    return f"{policy.summary} of {able} that can run it"


def _obstacle(outcome: Outcome, names: Sequence[str]) -> str:
    """Why the first choice is out: its first reason, in brackets because it may be long."""
    for offer in outcome.refused:
        if offer.target in names:
            return f"{offer.target} cannot run it ({offer.reasons[0].sentence})"
    targets = [candidate.offer.target for candidate in outcome.feasible]
    late = [target for target in targets if target in names]
    if late:
        return f"{late[0]} is expected to miss the deadline"
    return f"{words.listed(names)} is not among the targets now"


def _price(chosen: Offer) -> str:
    finish = f"about {words.duration(chosen.finish)}"
    return f"{finish} and {words.money(chosen.cost)} per job" if chosen.cost else f"{finish}, free"


def _others(outcome: Outcome) -> Sequence[Offer]:
    """The next best, when it says something about the choice."""
    chosen, *rest = (candidate.offer for candidate in outcome.feasible[:2])
    return [other for other in rest if _worse(other, chosen, outcome.policy)]


def _worse(other: Offer, chosen: Offer, policy: Policy) -> str:
    """What speaks against the next best: what the policy looks at first, then the rest."""
    by_money = f"would cost {words.money(other.cost)}" if other.cost > chosen.cost else ""
    by_time = _slower(other, chosen)
    if policy.name in ("cheapest", "deadline"):
        return by_money or by_time
    return by_time or by_money


def _slower(other: Offer, chosen: Offer) -> str:
    more = other.finish - chosen.finish
    if more < max(_NOTICED_SECONDS, _NOTICED_SHARE * chosen.finish):
        return ""
    if other.wait - chosen.wait > more / 2:
        return f"would wait {words.duration(other.wait)}"
    if other.start - chosen.start > more / 2:
        return f"would take {words.duration(other.start)} to start"
    return f"would take {words.duration(other.finish)}"

"""Random lives of jobs against a model of the rules."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from bridge.dispatch import Change
from bridge.targets import JobState
from tests.dispatch.world import new_job, open_store

RANK = {s: n for n, s in enumerate(JobState)}
FINAL = [s for s in JobState if s.final]
OPEN = [s for s in JobState if not s.final]


class Lives(RuleBasedStateMachine):
    """Accepts, changes, retries and restarts in any order."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = open_store(self.folder)
        self.model: dict[str, tuple[JobState, int]] = {}
        self.ended: dict[str, JobState] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(target=jobs, number=st.integers(0, 5), listed=st.booleans())
    def accept(self, number: int, listed: bool) -> str:
        item = new_job(f"in/{number}", sequencer="" if listed else "1")
        (accepted,) = self.store.accept([item], 1.0)
        known = accepted.job in self.model
        assert accepted.new is not known
        self.model.setdefault(accepted.job, (JobState.ACCEPTED, 1))
        return accepted.job

    @rule(job=jobs, state=st.sampled_from(list(JobState)), offset=st.integers(-1, 1))
    def change(self, job: str, state: JobState, offset: int) -> None:
        now, attempt = self.model[job]
        done = self.store.change([Change(job, attempt + offset, state, 2.0)])[0]
        allowed = offset == 0 and not now.final and (state.final or RANK[state] >= RANK[now])
        assert (done is not None) is allowed
        if allowed:
            self.model[job] = (state, attempt)

    @rule(job=jobs, state=st.sampled_from([JobState.ACCEPTED, JobState.PLACED]))
    def again(self, job: str, state: JobState) -> None:
        now, attempt = self.model[job]
        done = self.store.change([Change(job, attempt, state, 2.0, again=True, reason="lost")])[0]
        assert (done is None) is now.final
        if not now.final:
            self.model[job] = (state, attempt + 1)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(self.folder)

    @invariant()
    def the_store_agrees(self) -> None:
        found = {r.id: (r.state, r.attempt) for r in self.store.jobs()}
        assert found == self.model
        assert self.store.quiet() is all(s.final for s, _ in self.model.values())
        for job, (_, attempt) in self.model.items():
            detail = self.store.detail(job)
            assert detail is not None
            assert [a.number for a in detail.attempts] == list(range(1, attempt + 1))

    @invariant()
    def what_is_over_stays_over(self) -> None:
        for job, (state, _) in self.model.items():
            if state.final:
                assert self.ended.setdefault(job, state) is state


Lives.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestLives = Lives.TestCase

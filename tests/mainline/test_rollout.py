"""Releases change as promotions, steps and rollbacks say, and never lose the version that serves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.declarations.release import Header, Release
from mainline.errors import Refusal
from mainline.rollout import Mode, advanced, promoted, rolled_back
from tests.mainline.releases import version

DIRECT = Mode()
CANARY = Mode("canary", traffic=10)
HEADER = Mode("header", header=Header(name="x-group", value="b"))
FIRST = Release(stable=version(1))


def test_the_first_promotion_serves_the_version_alone():
    assert promoted(None, version(1), DIRECT, standby=True) == FIRST


@pytest.mark.parametrize("mode", [CANARY, HEADER, Mode("shadow")], ids=str)
def test_a_first_promotion_has_nothing_to_run_beside(mode):
    with pytest.raises(Refusal, match=f"nothing serves yet.*promote without --{mode.kind}"):
        promoted(None, version(1), mode, standby=False)


def test_promoting_what_serves_already_changes_nothing():
    assert promoted(FIRST, version(1), DIRECT, standby=True) is None


def test_promoting_what_serves_during_a_rollout_ends_the_rollout():
    running = promoted(FIRST, version(2), CANARY, standby=False)
    assert promoted(running, version(1), DIRECT, standby=False) == FIRST


def test_a_canary_keeps_the_stable_version():
    made = promoted(FIRST, version(2), CANARY, standby=False)
    assert made.stable == version(1)
    assert (made.candidate.version, made.candidate.mode, made.candidate.traffic) == (2, "canary", 10)


def test_the_same_canary_again_changes_nothing():
    running = promoted(FIRST, version(2), CANARY, standby=False)
    assert promoted(running, version(2), CANARY, standby=False) is None


def test_standby_keeps_the_version_that_served():
    assert promoted(FIRST, version(2), DIRECT, standby=True).standby == version(1)
    assert promoted(FIRST, version(2), DIRECT, standby=False).standby is None


def test_steps_are_walked_to_the_stable_version():
    release, seen = promoted(FIRST, version(2), CANARY, standby=False), []
    while release.candidate:
        seen.append(release.candidate.traffic)
        release = advanced(release, (10, 50), None, standby=False)
    assert (seen, release) == ([10, 50], Release(stable=version(2)))


def test_a_step_can_be_named():
    running = promoted(FIRST, version(2), CANARY, standby=False)
    assert advanced(running, (), 25, standby=False).candidate.traffic == 25


def test_advancing_without_a_rollout_is_refused():
    with pytest.raises(Refusal, match="no rollout runs"):
        advanced(FIRST, (10,), None, standby=False)


def test_the_share_it_has_already_is_refused():
    running = promoted(FIRST, version(2), CANARY, standby=False)
    with pytest.raises(Refusal, match="the candidate has 10 % already"):
        advanced(running, (), 10, standby=False)


def test_a_header_candidate_takes_no_share_but_all():
    running = promoted(FIRST, version(2), HEADER, standby=False)
    with pytest.raises(Refusal, match="only a canary takes --traffic 50"):
        advanced(running, (), 50, standby=False)
    assert advanced(running, (10, 50), None, standby=False).stable == version(2)


def test_a_rollback_ends_a_rollout_before_it_goes_further_back():
    running = promoted(FIRST, version(2), CANARY, standby=False)
    assert rolled_back(running, version(9)) == FIRST


def test_without_an_earlier_release_there_is_nothing_to_go_back_to():
    with pytest.raises(Refusal, match=r"no earlier release.*git revert"):
        rolled_back(FIRST, None)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([DIRECT, CANARY, HEADER])), max_size=12),
    st.booleans(),
)
def test_any_series_of_promotions_serves_distinct_bytes_and_always_a_stable_version(series, standby):
    release = FIRST
    for number, mode in series:
        release = promoted(release, version(number), mode, standby) or release
        digests = [shown.digest for shown in release.versions.values()]
        assert release.stable is not None
        assert len(digests) == len(set(digests))

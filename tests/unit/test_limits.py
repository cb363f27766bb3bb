"""Rate limits as settings write them."""

import pytest

from steadyrag.domain.limits import Limit, Rule, Rules, parse_limit, parse_overrides


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10/minute", Limit(10, 60)),
        ("1000/minute", Limit(1000, 60)),
        ("5/second", Limit(5, 1)),
        ("600/hour", Limit(600, 3600)),
        (" 20 / DAY ", Limit(20, 86400)),
        ("off", None),
    ],
)
def test_a_limit_is_a_count_and_a_time(text, limit):
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "such as 10/minute"),
        ("ten/minute", "such as 10/minute"),
        ("10", "such as 10/minute"),
        ("-1/minute", "such as 10/minute"),
        ("1.5/minute", "such as 10/minute"),
        ("١٠/minute", "such as 10/minute"),
        ("10/fortnight", "not per fortnight"),
        ("0/minute", "from 1 to 1000000"),
        ("1000001/minute", "from 1 to 1000000"),
    ],
)
def test_a_bad_limit_is_told_what_is_wrong(text, said):
    with pytest.raises(ValueError, match=said):
        parse_limit(text)


OVERRIDES = parse_overrides(
    "user:/documents=2/minute, key:/documents=60/minute, key:a1=6000/minute, "
    "key:a1:/documents=off, key:b2:/search=5/second"
)


@pytest.mark.parametrize(
    ("key_id", "route", "rule"),
    [
        ("c3", "/search", Rule("key", Limit(600, 60))),
        ("c3", "/documents", Rule("key:/documents", Limit(60, 60))),
        ("a1", "/search", Rule("key", Limit(6000, 60))),
        ("a1", "/documents", None),
        ("b2", "/search", Rule("key:/search", Limit(5, 1))),
        ("b2", "/documents", Rule("key:/documents", Limit(60, 60))),
    ],
)
def test_the_closest_override_of_a_key_wins(key_id, route, rule):
    assert Rules(overrides=OVERRIDES).for_key(key_id, route) == rule


def test_an_end_user_has_a_limit_of_his_own_on_a_route():
    rules = Rules(overrides=OVERRIDES)
    assert rules.for_user("/documents") == Rule("user:/documents", Limit(2, 60))
    assert rules.for_user("/search") == Rule("user", Limit(10, 60))


def test_off_limits_nothing_but_what_an_override_names():
    rules = Rules(user=None, key=None, overrides=OVERRIDES)
    assert rules.for_user("/search") is None
    assert rules.for_key("c3", "/search") is None
    assert rules.for_key("a1", "/search") == Rule("key", Limit(6000, 60))


def test_no_overrides_is_an_empty_text():
    assert parse_overrides(" , ") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/documents=2/minute", "'/documents=2/minute' must be user:/route"),
        ("user:a1=2/minute", "must be user:/route"),
        ("user:=2/minute", "must be user:/route"),
        ("key:=2/minute", "must be user:/route"),
        ("key:a1:=2/minute", "must be user:/route"),
        ("key:a1:documents=2/minute", "must be user:/route"),
        ("key:한국=2/minute", "must be user:/route"),
        ("key:a1", "must be user:/route"),
        ("key:a1=2/year", "'key:a1=2/year': must be per second, minute, hour, day"),
        ("key:a1=2/minute,key:a1=3/minute", "'key:a1' is there twice"),
        (",".join(f"key:k{n}=1/hour" for n in range(101)), "101 overrides; 100 at most"),
    ],
)
def test_a_bad_override_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        parse_overrides(text)

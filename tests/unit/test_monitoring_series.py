"""Metric samples and their statistics."""

import time

import pytest

from steadyrag.monitoring.series import BadDocument, Series, percentile

START = 1_800_000_000.0 // 60 * 60


@pytest.fixture
def series():
    return Series()


def told(series, stat, *, period_s=60, minutes=3, name="Latency", **dimensions):
    end = START + minutes * 60
    return series.values("Steadyrag", name, dimensions, stat, period_s, START, end)


def put(series, *values, at=START, name="Latency", **dimensions):
    for value in values:
        series.put("Steadyrag", name, dimensions, value, at)


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("Sum", [60, None, 5]),
        ("Average", [20, None, 5]),
        ("Minimum", [10, None, 5]),
        ("Maximum", [30, None, 5]),
        ("SampleCount", [3, None, 1]),
        ("p50", [20, None, 5]),
        ("p99", [29.8, None, 5]),
        ("p100", [30, None, 5]),
        ("p0", [10, None, 5]),
    ],
)
def test_statistics_are_of_each_period_and_missing_where_it_is_empty(series, stat, expected):
    put(series, 10, 30, 20)
    put(series, 5, at=START + 179.9)
    assert told(series, stat) == pytest.approx(expected)


def test_a_longer_period_is_of_all_its_samples(series):
    put(series, 1, 2)
    put(series, 9, at=START + 60)
    assert told(series, "Average", period_s=180) == [4]
    assert told(series, "p50", period_s=120, minutes=4) == [2, None]


def test_a_metric_is_its_dimensions_too(series):
    put(series, 1, mode="full")
    put(series, 2, mode="canned")
    assert told(series, "Sum", minutes=1, mode="canned") == [2]
    assert told(series, "Sum", minutes=1) == [None]
    assert [dict(metric.dimensions) for metric in series.metrics()] == [
        {"mode": "full"},
        {"mode": "canned"},
    ]


def test_an_emf_document_is_all_its_values_under_all_its_sets_of_dimensions(series):
    document = {
        "_aws": {
            "Timestamp": START * 1000 + 500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Steadyrag",
                    "Dimensions": [["service"], ["service", "mode"], []],
                    "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}],
                },
                {
                    "Namespace": "Steadyrag",
                    "Dimensions": [["service"]],
                    "Metrics": [{"Name": "Errors"}],
                },
            ],
        },
        "service": "here",
        "mode": "full",
        "Latency": [1, 2.5],
        "Errors": 3,
    }
    series.add_emf(document)
    for dimensions in ({"service": "here"}, {"service": "here", "mode": "full"}, {}):
        assert told(series, "Sum", minutes=1, **dimensions) == [3.5]
    assert told(series, "Sum", minutes=1, name="Errors", service="here") == [3]


def test_the_time_of_a_document_may_be_given(series):
    directive = {"Namespace": "Steadyrag", "Dimensions": [[]], "Metrics": [{"Name": "Latency"}]}
    document = {"_aws": {"Timestamp": 0, "CloudWatchMetrics": [directive]}, "Latency": 1}
    series.add_emf(document, at=START + 60)
    assert told(series, "Sum") == [None, 1, None]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"_aws": {"Timestamp": 1}},
        {"Latency": "12"},
        {"Latency": True},
        {"Latency": [1, None]},
        {"service": 7},
    ],
)
def test_what_cloudwatch_would_not_take_is_refused(series, broken):
    directive = {
        "Namespace": "Steadyrag",
        "Dimensions": [["service"]],
        "Metrics": [{"Name": "Latency"}],
    }
    whole = {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, "service": "a"}
    document = {**whole, "Latency": 1, **broken} if broken else {}
    with pytest.raises(BadDocument):
        series.add_emf(document)


@pytest.mark.parametrize(("stat", "period_s"), [("TM99", 60), ("p101", 60), ("Sum", 45)])
def test_what_it_does_not_know_it_says(series, stat, period_s):
    with pytest.raises(ValueError, match=r"multiple|not known"):
        told(series, stat, period_s=period_s)


def test_nothing_but_numbers_is_a_sample(series):
    with pytest.raises(ValueError, match="no value"):
        put(series, float("nan"))


def test_a_percentile_lies_between_its_neighbours():
    assert percentile([1, 2, 3, 4], 50) == 2.5
    assert percentile([7], 99) == 7


def test_old_samples_can_be_forgotten(series):
    put(series, 1)
    put(series, 2, at=START + 120)
    series.forget(START + 60)
    assert told(series, "Sum") == [None, None, 2]
    series.forget(START + 240)
    assert list(series.metrics()) == []


def test_a_hundred_thousand_samples_are_no_burden(series):
    began = time.process_time()
    for number in range(100_000):
        series.put("Steadyrag", "Latency", {}, number % 977, START + number % 86_400)
    for hour in range(24):
        begin = START + hour * 3600
        series.values("Steadyrag", "Latency", {}, "p99", 300, begin, begin + 3600)
    assert time.process_time() - began < 5

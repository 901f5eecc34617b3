"""Counters of several owners, and of those that are gone."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dnsserver.admin.totals import Totals


def counter(**values: float) -> Metric:
    """Return a counter by zone."""
    family = CounterMetricFamily("hits", "Hits.", labels=("zone",))
    for zone, value in values.items():
        family.add_metric((zone,), value)
    return family


def gauge(value: float) -> Metric:
    """Return a gauge."""
    return GaugeMetricFamily("entries", "Entries.", value=value)


def histogram(below: float, all_of_them: float, total: float) -> Metric:
    """Return a histogram with one bound."""
    family = HistogramMetricFamily("seconds", "Seconds.", labels=())
    family.add_metric((), [("1", below), ("+Inf", all_of_them)], total)
    return family


def values(totals: Totals) -> dict[tuple[str, ...], float]:
    """Return each sample's value by its name and its labels' values."""
    return {(sample.name, *sample.labels.values()): sample.value for family in totals for sample in family.samples}


def test_counters_add_up() -> None:
    """By their labels; the owners' own families stay as they are."""
    totals, first = Totals(), counter(a=1, b=2)
    totals.add([first])
    totals.add([counter(b=3, c=4)])
    totals.add([counter(b=3)])
    assert values(totals) == {("hits_total", "a"): 1, ("hits_total", "b"): 8, ("hits_total", "c"): 4}
    assert [sample.value for sample in first.samples] == [1, 2]
    assert len(list(totals)) == 1


def test_histograms_add_up() -> None:
    """Bucket by bucket."""
    totals = Totals()
    totals.add([histogram(1, 2, 2.5)])
    totals.add([histogram(3, 3, 0.5)])
    assert values(totals) == {
        ("seconds_bucket", "1"): 4,
        ("seconds_bucket", "+Inf"): 5,
        ("seconds_count",): 5,
        ("seconds_sum",): 3,
    }


def test_the_last_gauge_counts() -> None:
    """Two owners that speak of the same thing are an old and a new one."""
    totals = Totals()
    totals.add([gauge(5)])
    totals.add([gauge(3)])
    assert values(totals) == {("entries",): 3}


def test_what_is_left_behind() -> None:
    """All but gauges."""
    left, totals = Totals(), Totals()
    left.keep([counter(a=1), gauge(5), histogram(1, 1, 1)])
    totals.add(left)
    totals.add([counter(a=2)])
    assert {name: value for name, value in values(totals).items() if "seconds" not in name[0]} == {
        ("hits_total", "a"): 3
    }
    assert values(left)["hits_total", "a"] == 1

"""Counters that outlive what counted: after a reload they go on from where they were; no I/O."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

_ADDED_UP = ("counter", "histogram", "summary")  # types whose samples of two owners add up

_Sample = tuple[str, tuple[tuple[str, str], ...]]  # name and labels


class Totals:
    """Families of several owners as one each, samples of the same labels added up; of gauges the last one counts."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._places: dict[_Sample, int] = {}  # indexes of the family's samples

    def add(self, families: Iterable[Metric]) -> None:
        """Add what one owner has."""
        for family in families:
            total = self._families.get(family.name)
            if total is None:  # a copy: the owner's own is not ours to extend
                total = Metric(family.name, family.documentation, family.type, family.unit)
                self._families[family.name] = total
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                index = self._places.setdefault(key, len(total.samples))
                if index == len(total.samples):
                    total.samples.append(sample)
                elif family.type in _ADDED_UP:
                    total.samples[index] = sample._replace(value=total.samples[index].value + sample.value)
                else:
                    total.samples[index] = sample

    def keep(self, families: Iterable[Metric]) -> None:
        """Add what an owner leaves behind when it ends: all but gauges, which nobody can speak for any more."""
        self.add(family for family in families if family.type in _ADDED_UP)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

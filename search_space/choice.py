"""One decision of a space."""

from __future__ import annotations

from dataclasses import dataclass

from candidates.errors import InputError

Value = str | int | float
Point = dict[str, Value]
"""One value for each choice of a space, by the choice's name: `{"b1.op": "mbconv6", "b1.kernel": 3, …}`."""


@dataclass(frozen=True)
class Choice:
    """A decision called `name` with its `values`; numbers are ordered, words are not."""

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError(f"choice {self.name} has no values; expected at least one")
        if len(set(self.values)) != len(self.values):
            raise InputError(f"choice {self.name} has a value twice in {list(self.values)}")

    @property
    def ordered(self) -> bool:
        """Whether the order of the values means something."""
        return all(not isinstance(value, str) for value in self.values)

    def check(self, point: Point) -> Value:
        """This choice's value in `point`; an InputError says what was expected where it is none of ours."""
        if self.name not in point:
            raise InputError(f"the point has no value for {self.name}; expected one of {list(self.values)}")
        value = point[self.name]
        if isinstance(value, bool) or value not in self.values:
            raise InputError(f"{self.name} is {value!r}; expected one of {list(self.values)}")
        return value

"""What may be sampled: choices, spaces and points."""

from search_space.choice import Choice, Point
from search_space.loading import load_space, parse_space, space_names, space_text
from search_space.space import FactorizedSpace

__all__ = ["Choice", "FactorizedSpace", "Point", "load_space", "parse_space", "space_names", "space_text"]

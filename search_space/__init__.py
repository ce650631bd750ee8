"""What may be sampled: choices, spaces and points."""

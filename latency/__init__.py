"""How long a model takes on a device: numbers to trust, and a predictor that knows its limits.

import latency
m = latency.measure("model.onnx", device="cpu", threads=1)
m.latency_ms, m.cv, m.valid, m.reasons
"""

from candidates.errors import InputError, RunError
from latency.measurement import Measurement
from latency.measuring import measure

__all__ = ["InputError", "Measurement", "RunError", "measure"]

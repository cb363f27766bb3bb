"""Lambda that looks after the quality of answers: golden questions, on a schedule."""

from steadyrag.api.event_handler import event_handler
from steadyrag.settings import load
from steadyrag.wiring.golden import build_golden, golden_work
from steadyrag.wiring.parts import preload
from steadyrag.wiring.telemetry import configure_telemetry

settings = load()
configure_telemetry(settings, function="quality")
preload(settings)
parts = build_golden(settings)
handler = event_handler({"golden": golden_work(parts)}, function="quality")

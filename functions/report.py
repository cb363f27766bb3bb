"""Lambda that sends the daily report; a schedule asks it every hour whether one is due."""

from steadyrag.api.event_handler import event_handler
from steadyrag.settings import load
from steadyrag.wiring.report import build_sending, report_work
from steadyrag.wiring.telemetry import configure_telemetry

settings = load()
configure_telemetry(settings, function="report")
parts = build_sending(settings)
handler = event_handler({"report": report_work(parts)}, function="report")

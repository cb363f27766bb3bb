"""Lambda that CodeDeploy runs before a new version of search gets traffic."""

from steadyrag.settings import load
from steadyrag.telemetry import log
from steadyrag.wiring.smoke import pre_traffic_hook

log.configure("INFO")
handler = pre_traffic_hook(load)

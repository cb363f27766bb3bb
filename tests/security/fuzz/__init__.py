"""The API under a flood of requests that its own OpenAPI schema suggests, and refutes.

`served` has the parts that answer, `gateway` puts the Lambda handler behind HTTP, `counting` sees
what was answered, `run` lets schemathesis loose on it, and `report` says what came of it.
"""

"""The limiter on real stores: one user, many processes, one count."""

import uuid

from integration.fleet import fleet


def test_of_two_hundred_requests_at_once_from_eight_processes_exactly_ten_pass(shared_store):
    with fleet(8, shared_store) as environments:
        for _ in range(3):
            user = uuid.uuid4().hex
            seen = environments.total("limited", user=user, limit="10/minute", times=25)
            assert seen == {"passed": 10, "alone": 0}

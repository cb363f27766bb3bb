"""Breakers on real stores: what one environment learns, all know."""

from integration.fleet import fleet


def test_processes_share_five_failures_one_probe_and_one_recovery(shared_store):
    size = 8
    with fleet(size, shared_store) as environments:
        dead = environments.total("guarded", dependency="embedding", up=False, times=25)
        assert 5 <= dead["reached"] <= 5 + size - 1
        assert dead["refused"] == size * 25 - dead["reached"]

        late = {"dependency": "embedding", "ahead_s": 61.0}
        probed = environments.total("guarded", up=False, times=5, **late)
        assert probed["reached"] == 1

        much_later = {"dependency": "embedding", "ahead_s": 140.0}
        seen = environments.all("guarded", up=True, times=1, **much_later)
        assert sum(one["answered"] for one in seen) >= 1
        healed = environments.total("guarded", up=True, times=5, **much_later)
        assert healed == {"reached": size * 5, "answered": size * 5, "refused": 0}

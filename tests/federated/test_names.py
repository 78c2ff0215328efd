from fishbone.federated.names import family, mix


def test_a_mix_of_devices_and_groups_is_read_from_its_name_alone():
    assert (mix("hovefl-12-6"), mix("hovefl-0-18")) == ((12, 6), (0, 18))
    for name in ("hovefl", "hovefl-12", "hovefl-12-", "hovefl-1-2-3", "hovefl-01-2", "hovefl-a-b", "fedavg", ""):
        assert mix(name) is None
        assert family(name) == name
    assert family("hovefl-12-6") == "hovefl"

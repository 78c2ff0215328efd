from fishbone.split.messages import OWNER, rules


def lines(coordinator):
    return sorted(f"{rule.message.kind}: {rule.sender} to {rule.receiver}" for rule in rules(coordinator))


PASSES = [
    "activation: helper to helper",
    "activation: owner to helper",
    "diverged: helper to helper",
    "diverged: helper to owner",
    "gradient: helper to helper",
    "gradient: helper to owner",
]


def test_a_server_begins_and_finishes_sessions_with_all_parties_and_takes_no_part_in_passes():
    assert lines("server") == sorted(
        [
            *PASSES,
            "begin: server to helper",
            "begin: server to owner",
            "begun: helper to server",
            "begun: owner to server",
            "finish: server to helper",
            "finish: server to owner",
            "update: helper to server",
            "update: owner to server",
        ]
    )


def test_an_owner_that_coordinates_begins_and_finishes_sessions_with_helpers_only():
    assert lines(OWNER) == sorted(
        [
            *PASSES,
            "begin: owner to helper",
            "begun: helper to owner",
            "finish: owner to helper",
            "update: helper to owner",
        ]
    )

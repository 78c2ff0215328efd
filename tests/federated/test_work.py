import torch
from small_federation import local_work


def test_each_epoch_passes_once_through_all_samples_and_the_last_batch_takes_the_rest():
    epochs = local_work(epochs=3, batch=4).batches("h00000", 1, 10)
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[4, 4, 2]] * 3
    orders = [torch.cat(epoch) for epoch in epochs]
    assert all(torch.equal(order.sort().values, torch.arange(10)) for order in orders)
    assert not torch.equal(orders[0], orders[1])


def test_seed_round_and_owner_decide_the_order():
    def order(seed=0, owner="h00000", round_=1):
        (batch,), _ = local_work(batch=50, seed=seed).batches(owner, round_, 50)
        return batch.tolist()

    assert order() == order()
    assert order() not in (order(seed=1), order(owner="h00001"), order(round_=2))


def test_the_seed_draws_the_batches_that_it_always_drew():
    epochs = local_work(epochs=2, batch=4, seed=5).batches("h00001", 3, 6)
    assert [[batch.tolist() for batch in epoch] for epoch in epochs] == [
        [[5, 4, 2, 1], [0, 3]],
        [[2, 4, 1, 3], [5, 0]],
    ]

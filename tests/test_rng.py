import torch

from ablations.rng import counter_bits, derive


def test_a_stream_depends_on_the_seed_and_on_every_name():
    seeds = {
        derive(seed, *names)
        for seed in (0, 1)
        for names in [("order",), ("order", 0), ("order", 1), ("init",), ("init", "order")]
    }
    assert len(seeds) == 10
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_are_the_same_on_every_machine():
    # SHA-256 of "0/order/1", first eight bytes, sign bit off.
    assert derive(0, "order", 1) == 8_978_914_615_671_679_097
    bits = counter_bits(7, torch.arange(2), 2).flatten().tolist()
    assert bits == [
        -8774268681488515761,
        5573481420429128725,
        -5137267319001854395,
        -6461814455296669442,
    ]


def test_the_bits_of_a_row_do_not_depend_on_the_rows_beside_it():
    whole = counter_bits(5, torch.arange(100), 3)
    some = torch.tensor([99, 7, 50])
    assert torch.equal(counter_bits(5, some, 3), whole[some])
    assert torch.equal(counter_bits(5, torch.arange(100), 2), whole[:, :2])


def test_the_finaliser_is_splitmix64():
    def by_hand(x: int) -> int:
        mask = 2**64 - 1
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
        return x ^ (x >> 31)

    key, golden = 12345, 0x9E3779B97F4A7C15
    row_key = by_hand((3 * golden + key) % 2**64)
    expected = [by_hand((row_key + step * golden) % 2**64) for step in (1, 2)]
    found = counter_bits(key, torch.tensor([3]), 2)[0].tolist()
    assert [bits % 2**64 for bits in found] == expected

"""Goals of the benchmarks, by workload and peer.

A goal is the minimum of the median ratio, or the maximum in rows where less is better. Rows without
a goal are for information only.
"""

LOOP = "bare loop, same tricks"
SECOND = "one second per hundred"

CPU = {
    ("LRN, 128x32x16x16", "torch's LRN"): 5.0,
    ("LRN, 128x32x16x16", "BatchNorm, contiguous"): 2.5,
    ("cifar_conv, full augmentation", "Lightning-Hydra template"): 3.0,
    ("cifar_conv", LOOP): 0.93,
    ("cifar_conv, no augmentation", LOOP): 0.93,
    ("cifar_local", LOOP): 0.93,
    ("alexnet_small-32", LOOP): 0.93,
    ("alexnet_small-64", LOOP): 0.93,
    ("alexnet-227", LOOP): 0.97,
    ("alexnet-224", LOOP): 0.97,
    ("keras_batchnorm-227, batch 16", "Keras (TensorFlow)"): 1.2,
    ("cifar_conv in bf16", "the same in float32"): 1.6,
    ("alexnet_small-32 in bf16", "the same in float32"): 1.4,
    ("alexnet-227 in bf16", "the same in float32"): 1.5,
    ("sweep of 12 short runs, whole commands", "loop over the template's command"): 3.0,
    ("start of a warm run in a sweep", "one second"): 1.0,
    **{(f"report on {count} records", SECOND): 1.0 for count in (1, 10, 100, 1000)},
    ("cifar_conv in DDP, 1 rank", "bare DDP"): 0.97,
    ("cifar_conv in DDP, 2 ranks", "bare DDP"): 0.97,
    ("peak memory, AlexNet-227, batch 128", LOOP): 1.15,
    ("peak memory, cifar_conv on 50,000 images", LOOP): 1.15,
}
GPU = {
    **{
        (f"LRN, 512x96x55x55, {dtype}", peer): goal
        for dtype in ("float32", "bfloat16")
        for peer, goal in {"torch's LRN": 5.0, "a copy of the least bytes": 0.6}.items()
    },
    ("cifar_conv", LOOP): 0.9,
    ("cifar_local", LOOP): 0.9,
    ("alexnet_small-32", LOOP): 0.9,
    ("alexnet-227", LOOP): 0.98,
    ("alexnet-227, bf16", LOOP): 0.98,
    ("alexnet-224, bf16, batch 1024", LOOP): 0.98,
    ("alexnet-224, bf16, batch 1024", "as many operations of a product, bf16"): 0.5,
}

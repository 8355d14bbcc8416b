"""A trained network for users without this package: plain torch, weights, model card, hub."""

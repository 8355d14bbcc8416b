"""Export a trained network for use without this package: plain torch, model card, Hub."""

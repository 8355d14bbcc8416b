"""Export a trained network for use without this package: plain torch, ONNX, model card, Hub."""

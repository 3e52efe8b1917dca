"""The contract of compute blocks: base classes, inputs and outputs, settings, detector."""

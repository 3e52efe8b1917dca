"""Sensor faults: a catalogue, seeded draws, labels and the batched engine."""

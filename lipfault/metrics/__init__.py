"""Detection, recovery and reconstruction in numbers: tensors in, plain numbers out."""

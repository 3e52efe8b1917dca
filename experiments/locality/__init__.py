"""Does a convolutional encoder keep the trace of a fault where a dense one smears it?"""

"""The multimodal autoencoder of stage 1."""

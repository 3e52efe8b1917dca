"""Corrects by the posterior mean under an estimated size of the fault."""

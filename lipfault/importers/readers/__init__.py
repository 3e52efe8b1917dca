"""Readers of source formats, one module each; `registry` names them."""

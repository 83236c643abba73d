"""How good predictions are, by the field's rules."""

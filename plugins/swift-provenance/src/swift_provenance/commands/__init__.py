"""The commands sign, verify, bom and card."""

"""bitsandbytes: 4 and 8 bit while loading."""

"""The demonstration: real photographs in, two questions answered, the page served."""

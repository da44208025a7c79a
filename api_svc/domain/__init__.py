"""Values and rules. Pure: nothing here waits, reads a clock or touches the world."""

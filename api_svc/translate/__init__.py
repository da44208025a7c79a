"""Between the wire's words and ours: the dull files, and the only ones that know both."""

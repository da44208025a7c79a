"""Pure values and rules of one host's guests: what they are made of, and how libvirt is told."""

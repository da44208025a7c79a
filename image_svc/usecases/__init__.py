"""The order of things: import an image, have disks be there, remove them."""

"""One hazard a file: the database, the network, the disk, qemu-img, files that strangers wrote."""

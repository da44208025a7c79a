"""Pure values and rules of images and disks: names, sizes, formats, plans. No I/O."""

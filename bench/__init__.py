"""What is measured, and against what: `make bench`, design.md section 10."""

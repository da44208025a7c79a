"""The doorway: translate, call, translate."""

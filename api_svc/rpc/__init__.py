"""The doorways: translate, call, translate."""

"""The schema's history. Adding to it is one new file in `versions`, named `<next number>_<what>.py`."""

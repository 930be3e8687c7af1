"""Boards in a running team: their declaration, what an agent may do with them, and what every request holds of them."""

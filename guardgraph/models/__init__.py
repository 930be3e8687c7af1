"""Chat models by their names, what they cost, and models that need no key."""

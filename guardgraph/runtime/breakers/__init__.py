"""The circuits of agents: what is known of their latest attempts."""

__all__ = ()

"""What gates decide about plans, subtasks and results."""
